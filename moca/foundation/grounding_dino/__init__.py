"""Grounding DINO: boxes of what some words name."""
