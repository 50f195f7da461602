"""Frozen foundation models, one file each."""
