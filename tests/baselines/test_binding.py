import numpy as np
import pytest
import torch

from moca.baselines.binding import cut_out
from moca.baselines.filtering import SoundFilter
from moca.baselines.owod_bind import OwodBind, OwodBindConfig
from moca.baselines.sam_bind import SamBind, SamBindConfig
from moca.errors import InputError
from moca.foundation.imagebind.config import ImageBindConfig
from moca.foundation.imagebind.model import random_imagebind
from moca.media.logmel import LogMelConfig
from moca.segmentation.crops import cut_regions
from moca.segmentation.relative import Comparison, SoundBank


@pytest.fixture(params=["class", "dense"])
def encoder(request):
    config = ImageBindConfig(
        image_size=32, patch=8, image_width=16, image_blocks=2, image_heads=2,
        audio_patch=8, audio_stride=8, audio_width=12, audio_blocks=2, audio_heads=2, embed_dim=8,
        log_mel=LogMelConfig(mel_bins=16, target_frames=96), pooling=request.param,
    )  # fmt: skip
    return random_imagebind(config, seed=3)


@pytest.fixture
def bank():
    drawn = np.random.default_rng(0).standard_normal((9, 8)).astype(np.float32)
    return SoundBank(
        embeddings=drawn / np.linalg.norm(drawn, axis=1)[:, None], names=tuple("abcdefghi"), fingerprint="1"
    )


def test_every_sound_of_the_bank_is_compared_as_the_own_one_is(encoder, bank, make_step):
    crops = [np.random.default_rng(n).integers(0, 256, (20, 30, 3), dtype=np.uint8) for n in range(3)]
    sounds = SoundFilter(encoder, bank)
    (sound,) = sounds.hear([make_step()])
    found = sounds.compare(crops, sound)
    np.testing.assert_allclose(found.own, sounds.cosines(crops, sound), atol=1e-5)
    for k, other in enumerate(torch.from_numpy(bank.embeddings)):
        np.testing.assert_allclose(found.others[:, k], sounds.cosines(crops, other), atol=1e-5)
    assert found.others.std() > 0.01 and sounds.compare([], sound).others.shape == (0, 9)


class FaintFilter:
    """Cosines of a bright crop that are too small for any of the paper's thresholds; every other sound fits at .1."""

    image_size = 32

    def __init__(self):
        self.crops = []

    def hear(self, steps):
        return np.zeros((len(steps), 1))

    def cosines(self, crops, sound):
        self.crops += list(crops)
        return np.array([0.1 + 0.2 * crop.mean() / 255 for crop in crops], np.float32)

    def compare(self, crops, sound):
        own = self.cosines(crops, sound)
        return Comparison(own=own, others=np.array([[0.0, 0.2]] * len(own), np.float32))


MARKS = [(10, 20, 60, 70, 255), (100, 20, 160, 80, 245), (30, 120, 90, 190, 60)]
BOXES = [mark[:4] for mark in MARKS]


def owod(fakes, card, **settings):
    objects, masks, _ = fakes
    method = OwodBind(
        OwodBindConfig(**settings), card, encoder=random_like(), objects=objects(BOXES, [0.9] * 3), masks=masks()
    )
    method.filter = FaintFilter()
    return method


def random_like():
    return random_imagebind(ImageBindConfig(
        image_size=32, patch=8, image_width=16, image_blocks=1, image_heads=2,
        audio_patch=8, audio_stride=8, audio_width=12, audio_blocks=1, audio_heads=2, embed_dim=8,
        log_mel=LogMelConfig(mel_bins=16, target_frames=96),
    ), seed=3)  # fmt: skip


@pytest.mark.parametrize("crop", ["box", "masked", "surround"])
def test_faint_cosines_are_nothing_to_a_threshold_and_clear_beside_other_sounds(fakes, card, make_step, crop):
    step = make_step(marks=MARKS)
    (absolute,) = owod(fakes, card, crop=crop).segment_steps([step])
    assert not absolute.mask.any() and absolute.missed == 0.7
    assert absolute.reason.startswith("nothing agrees with the sound: best cosine 0.")
    (relative,) = owod(fakes, card, crop=crop, scores="relative", delta=0.3).segment_steps([step])
    assert relative.mask[40, 30] and relative.mask[50, 120] and not relative.mask[150, 60]
    assert relative.missed is None and relative.segments[0].score == 1.0 > relative.segments[1].score
    (best,) = owod(fakes, card, crop=crop, scores="relative", delta=0.0).segment_steps([step])
    assert best.mask[40, 30] and not best.mask[50, 120]


def test_only_masks_of_chosen_boxes_are_made_where_boxes_are_judged(fakes, card, make_step):
    method = owod(fakes, card, scores="relative", delta=0.0)
    (result,) = method.segment_steps([make_step(marks=MARKS)])
    assert len(result.segments) == 1 and method.masks.encoded == 1


def test_sam_bind_cuts_surroundings_too(fakes, card, make_step):
    _, masks, _ = fakes
    config = SamBindConfig(
        points_per_side=4, crop="surround", scores="relative", delta=0.1, pred_iou=0.1, stability=0.1
    )
    method = SamBind(config, card, encoder=random_like(), masks=masks())
    method.filter = FaintFilter()
    (result,) = method.segment_steps([make_step(marks=MARKS)])
    assert all(crop.shape == (32, 32, 3) for crop in method.filter.crops) and result.mask.any()


def test_surroundings_are_those_of_the_segmenter():
    picture = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    masks = np.zeros((2, 40, 50), bool)
    masks[0, 5:20, 5:20] = masks[1, 20:30, 10:45] = True
    for one, other in zip(cut_out(picture, masks, "surround", 0.0, 32), cut_regions(picture, masks, 32), strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_bank_is_made_only_where_scores_are_relative_and_is_named(fakes, card):
    assert "bank" not in owod(fakes, card).settings["fingerprints"]
    assert len(owod(fakes, card, scores="relative").settings["fingerprints"]["bank"]) == 16


def test_models_whose_cosines_nobody_has_seen_are_compared_relatively():
    for method in (OwodBind, SamBind):
        assert method.defaults("huge").scores == "relative"
        assert method.defaults("mini").scores == method.config_class().scores == "absolute"
    assert (OwodBindConfig().crop, SamBindConfig().crop) == ("box", "masked")


@pytest.mark.parametrize("config", [OwodBindConfig, SamBindConfig])
def test_other_words_are_refused(config):
    with pytest.raises(InputError, match=r"crop must be one of box, masked, surround, got 'tight'; change it."):
        config(crop="tight")
    with pytest.raises(InputError, match=r"scores must be one of relative, absolute, got 'ranked'; change it."):
        config(scores="ranked")
