"""The colours of classes in AVSBench-semantic's colour masks: Pascal VOC's bit palette."""

from __future__ import annotations

import numpy as np


def class_colours(classes: int) -> np.ndarray:
    """(classes, 3) uint8 RGB; class 0, the background, is black and no two of the first 256 are equal.

    Bits of the class number, three at a time from the lowest, go to R, G and B and are written from the top bit
    down. Source: AVSBench, avss/color_dataloader.py, after Pascal VOC's devkit.

    >>> class_colours(4).tolist()
    [[0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0]]
    """
    numbers, colours = np.arange(classes), np.zeros((classes, 3), np.int64)
    for bit in range(8):
        for channel in range(3):
            colours[:, channel] |= (numbers >> (3 * bit + channel) & 1) << (7 - bit)
    return colours.astype(np.uint8)
