"""Training data: videos decoded once, to arrays on disk."""
