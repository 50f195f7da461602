"""Data sets as they are on disk."""
