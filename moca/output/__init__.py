"""What `moca segment` writes for a video, and goes on with after a stop."""
