"""Segment Anything: SAM, SAM-HQ and SAM 2."""
