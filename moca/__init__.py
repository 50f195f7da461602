"""MoCA-AVS: which pixels in this video make the sound.

>>> import moca
>>> segmenter = moca.Segmenter.load("mini")            # doctest: +SKIP
>>> for step in segmenter.segment("clip.mp4"):         # doctest: +SKIP
...     step.mask, step.score, step.reason
"""

from moca.errors import InputError
from moca.version import __version__

__all__ = ["InputError", "Segmenter", "__version__"]


def __getattr__(name: str):
    """Load the segmenter, and torch with it, only when asked for: `moca --help` stays quick."""
    if name == "Segmenter":
        from moca.segmenter import Segmenter

        return Segmenter
    raise AttributeError(f"module 'moca' has no attribute {name!r}")
