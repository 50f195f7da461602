"""Training: the data, and what learns from it."""
