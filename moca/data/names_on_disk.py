"""Names of the files and folders of AVSS, VGGSound and VGG-SS, for their readers and for Soundstage's writers alike.

Sources: OpenNLPLab/AVSBench, avss/color_dataloader.py; hche11/Localizing-Visual-Sounds-the-Hard-Way, metadata.
"""

AVSS_FOLDER = "AVSS"
"""Folder of a stage that is an AVSS root; the authors' own is called avs_released."""
AVSS_TABLE = "metadata.csv"
AVSS_CLASS_FILE = "label2idx.json"
AVSS_PARTS = {"v1s": 5, "v1m": 5, "v2": 10}
"""Frames of a clip of each part, one per second."""

VGGSS_FOLDER = "VGGSound"
VGGSOUND_TABLE = "vggsound.csv"
VGGSS_BOX_FILE = "vggss.json"
VGGSS_CLIP_FOLDER = "clips"
VGGSS_ANNOTATED_AT_S = 124.5 / 25
"""The annotated frame is the 125th of a clip at 25 frames per second; this is the middle of its time on show."""
