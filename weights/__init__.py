"""Weights that travel with the package: see README.md in this folder."""
