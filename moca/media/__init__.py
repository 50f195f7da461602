"""Video in and out (PyAV): steps of frame and sound, a painted copy with the original sound, new videos."""

from moca.core.step import Step
from moca.media.pictures import CutOffWarning
from moca.media.streams import VideoInfo
from moca.media.video import probe, read_steps
from moca.media.writing import render_video, write_video

__all__ = ["CutOffWarning", "Step", "VideoInfo", "probe", "read_steps", "render_video", "write_video"]
