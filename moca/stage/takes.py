"""Two takes of one object: what two moments of a video, or two photographs of one thing, have in common."""

from __future__ import annotations

import numpy as np

from moca.stage.arranging import build_scene
from moca.stage.casting import draw_cast
from moca.stage.frames import check_size
from moca.stage.seeds import generator

TAKES = 2


def sample_takes(seed: int, size: int = 112) -> np.ndarray:
    """Draw one large object in two scenes, (2, size, size, 3) uint8 RGB; equal arguments give equal bytes.

    The object is the same drawn one, its shape, colours and texture; the ground, the light, the camera, the clutter,
    the object's place, angle and size are drawn anew. Its class is not told. size: 32 to 2048 pixels. Each take is as
    a frame of kind "single" (see `sample_frame`). InputError for a bad seed or size.

    >>> sample_takes(0).shape
    (2, 112, 112, 3)
    """
    check_size(size)
    rng = generator(seed, "takes")
    cast = draw_cast(rng, "single")
    looks, *scenes = (int(number) for number in rng.integers(1 << 62, size=1 + TAKES))
    takes = np.empty((TAKES, size, size, 3), np.uint8)
    for number, inner in enumerate(scenes):
        scene = build_scene(inner, cast, side=size, times_s=(0.0,), duration_s=0.0, looks=looks)
        takes[number] = scene.render(0.0, generator(inner, "sensor"))
    return takes
