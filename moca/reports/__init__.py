"""Pages and pictures for people: one about a video, one about an evaluation."""
