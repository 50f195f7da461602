"""outline_clip: says beforehand what sample_clip draws."""

import numpy as np
import pytest

from moca.stage import StageConfig, sample_clip
from moca.stage.outline import outline_clip

SMALL = StageConfig(size=48, rate_hz=2, steps=10)


@pytest.mark.parametrize("kind", ["s4", "ms3", "offscreen", "silent"])
def test_an_outline_is_what_is_drawn(kind):
    for seed in range(3):
        outline, clip = outline_clip(seed, kind, SMALL), sample_clip(seed, kind, SMALL)
        assert outline.cast.objects == clip.objects
        assert outline.heard == clip.heard and outline.sounding == clip.sounding
        np.testing.assert_array_equal(outline.frames_at, clip.frames_at)
        scene = outline.scene()
        masks = np.stack([scene.masks(time_s) for time_s in outline.times_s])
        np.testing.assert_array_equal(masks, clip.object_masks)


def test_other_seeds_and_leads_give_other_outlines():
    assert outline_clip(0, "s4", SMALL, lead="bell").sounding[0] == ("bell",)
    casts = {outline_clip(seed, "ms3", SMALL).cast.objects for seed in range(6)}
    assert len(casts) > 3


def test_frames_are_counted_from_the_middle_of_the_clip():
    outline = outline_clip(0, "s4", SMALL)
    assert outline.from_middle(0) == -5 and outline.from_middle(19) == 4.5
    assert outline.times_s[0] == -4.5 and outline.times_s[-1] == 4.5
