"""Soundstage: a procedural audio-visual world in which every mask is known exactly.

Fourteen classes, each with a family of appearances and a family of sounds, on cluttered grounds, with silent
distractors, mixtures, off-screen sounds, noise and silence. Nothing here needs torch.
"""

from moca.stage.casting import KINDS
from moca.stage.clip import StageClip, sample_clip
from moca.stage.frames import StageFrame, StageObject, sample_frame
from moca.stage.objects import CLASSES
from moca.stage.outline import StageConfig
from moca.stage.seeds import derive_seed
from moca.stage.synthesis import SAMPLE_RATE_HZ
from moca.stage.writing import write_stage

__all__ = [
    "CLASSES",
    "KINDS",
    "SAMPLE_RATE_HZ",
    "StageClip",
    "StageConfig",
    "StageFrame",
    "StageObject",
    "derive_seed",
    "sample_clip",
    "sample_frame",
    "write_stage",
]
