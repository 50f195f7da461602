"""Soundstage: a procedural audio-visual world in which every mask is known exactly.

Fourteen classes, each with a family of appearances and a family of sounds, on cluttered grounds, with silent
distractors, mixtures, off-screen sounds, noise and silence. Nothing here needs torch.
"""

from moca.core.late import late_names

_MODULES = {
    "CLASSES": "objects",
    "KINDS": "casting",
    "SAMPLE_RATE_HZ": "synthesis",
    "StageClip": "clip",
    "StageConfig": "outline",
    "StageFrame": "frames",
    "StageObject": "frames",
    "derive_seed": "seeds",
    "sample_clip": "clip",
    "sample_frame": "frames",
    "sample_takes": "takes",
    "write_stage": "writing",
}
"""The module of each public name."""

__all__ = list(_MODULES)
__getattr__ = late_names(__name__, _MODULES)
