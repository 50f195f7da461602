"""Pseudo-labels against loops, what they never look at, and stopped and resumed builds."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from torch.nn import functional as F

from moca.core.maps import resize_maps
from moca.core.progress import silent
from moca.corpus.corpus import corpus_from_arrays
from moca.errors import InputError
from moca.segmentation.edges import snap_to_edges
from moca.segmentation.gate import support
from moca.segmentation.kmeans import otsu_threshold
from moca.training.config import LabelConfig
from moca.training.frozen import FrozenReader, sounding_rows
from moca.training.losses import pseudo_labels as module
from moca.training.losses.label_files import build_labels
from moca.training.losses.pseudo_labels import Labeller, match_contrast, region_target

CONFIG = LabelConfig(alike=3, unlike=4, other_sounds=2, refine=False)
BLOCK = 8  # 25 anchors in four blocks


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(module, "BLOCK_ROWS", BLOCK)


@pytest.fixture
def build(encoder, tmp_path):
    """build(corpus, config, folder) -> Labels, as the objective asks for them."""

    def run(corpus, config=CONFIG, folder=tmp_path, *, progress=silent, encoder_print="e" * 16):
        rows = sounding_rows(corpus)
        sounds = FrozenReader(encoder).sounds(corpus, rows)
        return build_labels(
            encoder, corpus, rows, sounds, config, folder, encoder_print=encoder_print, progress=progress
        )

    return run


def equal(one, other) -> bool:
    arrays = all(np.array_equal(getattr(one, name), getattr(other, name)) for name in ("rows", "sounds", "weights"))
    return arrays and np.array_equal(one.targets, other.targets) and one.centre == other.centre


def refusal(call) -> str:
    with pytest.raises(InputError) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def unit(generator, *shape):
    return F.normalize(torch.from_numpy(generator.normal(size=shape)), dim=-1)


def test_match_contrast_agrees_with_loops():
    generator = np.random.default_rng(0)
    patches, alike, unlike = unit(generator, 5, 6), unit(generator, 3, 5, 6), unit(generator, 4, 5, 6)
    contrast = match_contrast(patches, alike, unlike)
    for index, patch in enumerate(patches):
        near = [max(float(patch @ other) for other in frame) for frame in alike]
        far = [max(float(patch @ other) for other in frame) for frame in unlike]
        assert contrast[index].item() == pytest.approx(np.mean(near) - np.mean(far))
    torch.testing.assert_close(match_contrast(patches, unlike, alike), -contrast)
    torch.testing.assert_close(match_contrast(patches, alike.flip(0, 1), unlike.flip(1)), contrast)  # order is nothing
    assert contrast.abs().max() > 0.05


def test_match_contrast_reaches_its_bounds():
    patch = torch.tensor([[1.0, 0.0]])
    assert match_contrast(patch, patch[None], -patch[None]).tolist() == [2.0]
    assert match_contrast(patch, -patch[None], patch[None]).tolist() == [-2.0]
    assert match_contrast(patch, patch[None], patch.expand(3, 1, 2)).tolist() == [0.0]


@pytest.mark.parametrize("refine", [False, True])
def test_region_target_counts_the_pixels_of_the_region(drawn, refine):
    config = LabelConfig(refine=refine, raise_threshold=0.1)
    score = np.random.default_rng(0).normal(size=(4, 4))
    frame = drawn.frames[0]
    fine = resize_maps(score, (32, 32))
    region = fine > otsu_threshold(fine) + 0.1 * fine.std()
    region = snap_to_edges(frame, fine, region) if refine else region
    target = region_target(frame, score, config)
    assert target.shape == (4, 4) and target.dtype == np.uint8
    for row in range(4):
        for column in range(4):
            covered = region[8 * row : 8 * row + 8, 8 * column : 8 * column + 8].sum()
            assert target[row, column] == round(255 * covered / 64)
    assert 0 < region.mean() < 1


def test_region_target_keeps_the_area_on_a_grid_that_does_not_divide_the_frame():
    score = np.random.default_rng(1).normal(size=(7, 7))
    fine = resize_maps(score, (24, 24))
    region = fine > otsu_threshold(fine)
    target = region_target(np.zeros((24, 24, 3), np.uint8), score, LabelConfig(refine=False, raise_threshold=0.0))
    assert target.mean() / 255 == pytest.approx(region.mean(), abs=0.005)


def test_a_raised_threshold_covers_less_and_a_flat_score_nothing():
    score, frame = np.random.default_rng(2).normal(size=(4, 4)), np.zeros((32, 32, 3), np.uint8)
    low, high = (
        region_target(frame, score, LabelConfig(refine=False, raise_threshold=by)).astype(int) for by in (0.0, 1.0)
    )
    assert (high <= low).all() and high.sum() < low.sum()
    for refine in (False, True):
        assert not region_target(frame, np.zeros((4, 4)), LabelConfig(refine=refine)).any()


def test_labels_have_the_promised_shapes(build, corpus, drawn):
    labels = build(corpus)
    assert labels.rows.tolist() == [row for row in range(28) if row not in drawn.silent]
    assert labels.sounds.shape == labels.weights.shape == (25, 3) and labels.targets.shape == (25, 3, 4, 4)
    assert (labels.sounds.dtype, labels.targets.dtype, labels.weights.dtype) == (np.int64, np.uint8, np.float32)
    np.testing.assert_array_equal(labels.sounds[:, 0], labels.rows)  # its own first
    assert set(labels.sounds.ravel()) <= set(labels.rows)
    assert set(np.unique(labels.weights)) <= {0, 1} and (labels.weights[:, 0] == 1).all()
    assert not labels.targets[labels.weights == 0].any()
    assert labels.targets.any() and -1 <= labels.centre <= 1


@pytest.mark.parametrize(("pooling", "refine"), [("class", False), ("class", True), ("dense", False)])
def test_labels_by_cosine_alone_agree_with_a_loop(build, corpus, encoder, pooling, refine):
    encoder.config = replace(encoder.config, pooling=pooling)
    config = LabelConfig(contrast=0.0, alike=3, unlike=4, refine=refine, absent=20.0, present=60.0)
    labels, reader = build(corpus, config), FrozenReader(encoder)
    patches = reader.patches(reader.pixels(corpus.frames)).numpy()
    sounds = dict(zip(labels.rows, reader.sounds(corpus, labels.rows), strict=True))
    own = np.array([patches[row] @ sounds[row] for row in labels.rows])
    pictures = None if pooling == "dense" else reader.pictures(reader.pixels(corpus.frames)).numpy()

    def presence(row, sound):  # the way the encoder was trained
        return support(patches[row] @ sounds[sound]) if pictures is None else pictures[row] @ sounds[sound]

    absent, present = np.percentile([presence(row, row) for row in labels.rows], [20, 60])
    assert labels.centre == pytest.approx(np.percentile(own, 88), abs=1e-5)
    kinds = set()
    for anchor, row in enumerate(labels.rows):
        for column, sound in enumerate(labels.sounds[anchor]):
            cosines = patches[row] @ sounds[sound]
            best = presence(row, sound)
            if min(abs(best - absent), abs(best - present)) < 1e-5:
                continue  # rounding decides
            kind = "absent" if best < absent else "doubtful" if column and best < present else "present"
            kinds.add(kind)
            assert labels.weights[anchor, column] == (kind != "doubtful")
            score = 2 * (cosines - cosines.mean()) / cosines.std()
            expected = region_target(corpus.frames[row], score.reshape(4, 4), config) if kind == "present" else 0
            # A pixel on the threshold may fall either way in float32, one of 64 in a patch; snapping may spread it.
            assert refine or np.abs(labels.targets[anchor, column].astype(int) - expected).max() <= 8
            assert (kind == "present") or not labels.targets[anchor, column].any()
    assert kinds == {"absent", "doubtful", "present"}


def test_frames_to_match_are_of_other_videos_the_alike_by_their_sound(corpus, encoder):
    rows, reader = sounding_rows(corpus), FrozenReader(encoder)
    sounds = reader.sounds(corpus, rows)
    labeller = Labeller(encoder, corpus, rows, sounds, CONFIG)
    bank = labeller.read_bank()
    middle = reader.middle(reader.pixels(corpus.frames[rows])).half().float()
    for anchor, sound in ((0, 0), (3, 11), (24, 24)):
        alike, unlike = labeller._compared(bank, anchor, sound, np.random.default_rng(0))
        others = [place for place in range(25) if corpus.videos[rows[place]] != corpus.videos[rows[anchor]]]
        ranked = sorted(others, key=lambda place: -float(sounds[place] @ sounds[sound]))
        torch.testing.assert_close(alike, middle[ranked[:3]], atol=1e-3, rtol=0)
        assert unlike.shape == (4, 16, 16)
        far = middle[ranked[len(ranked) // 2 :]]
        for frame in unlike:
            assert min((frame - other).abs().max() for other in far) < 1e-3


def test_another_reading_of_the_frozen_patches_gives_other_labels(build, corpus, encoder):
    own = encoder.config.reading
    assert own != "value"
    labels = [build(corpus, replace(CONFIG, reading=reading)) for reading in (None, own, "value")]
    assert equal(labels[0], labels[1]) and not equal(labels[0], labels[2])


def test_the_match_contrast_counts(build, corpus, tmp_path):
    without = build(corpus, replace(CONFIG, contrast=0.0), tmp_path / "a")
    labels = build(corpus, replace(CONFIG, contrast=5.0), tmp_path / "b")
    np.testing.assert_array_equal(without.weights, labels.weights)  # who is present is the cosine's alone
    assert not np.array_equal(without.targets, labels.targets)


@pytest.mark.parametrize("stopped_after", [1, 3])
def test_a_stopped_build_goes_on_where_it_stopped(build, corpus, tmp_path, monkeypatch, stopped_after):
    whole, made = build(corpus, folder=tmp_path / "whole"), []
    block = Labeller.block
    monkeypatch.setattr(Labeller, "block", lambda self, first, bank: made.append(first) or block(self, first, bank))

    def stop(what, done, total):
        if what == "labelling" and done == stopped_after * BLOCK:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(corpus, folder=tmp_path / "parts", progress=stop)
    assert made == [BLOCK * number for number in range(stopped_after)]
    (folder,) = (tmp_path / "parts").iterdir()
    (folder / ".00000008.123.partial.npz").write_bytes(b"half a block")  # what a kill while writing leaves
    reported = []
    resumed = build(corpus, folder=tmp_path / "parts", progress=lambda *told: reported.append(told))
    assert made == [0, 8, 16, 24] and equal(resumed, whole)
    assert reported[-1] == ("labelling", 25, 25)
    assert not equal(build(corpus, replace(CONFIG, seed=1), tmp_path / "other"), whole)


def test_a_stop_within_a_block_or_before_any_changes_nothing(build, corpus, tmp_path, monkeypatch):
    whole = build(corpus, folder=tmp_path / "whole")
    with monkeypatch.context() as patched:
        patched.setattr(Labeller, "_score", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            build(corpus, folder=tmp_path / "parts")
    (folder,) = (tmp_path / "parts").iterdir()
    assert sorted(path.name for path in folder.iterdir()) == ["centre.json"]
    (folder / "centre.json").unlink()
    assert equal(build(corpus, folder=tmp_path / "parts"), whole)


def test_finished_labels_are_read_not_made(build, corpus, monkeypatch):
    first = build(corpus)
    for name in ("read_bank", "block"):
        monkeypatch.setattr(Labeller, name, None)
    assert equal(build(corpus), first)


def test_labels_of_other_settings_encoders_and_corpora_lie_beside_each_other(build, corpus, one_video, drawn, tmp_path):
    folders = []
    for change in ({}, {"config": replace(CONFIG, alike=2)}, {"encoder_print": "f" * 16}):
        build(corpus, **change)
        folders.append({path.name for path in tmp_path.iterdir()})
    assert [len(names) for names in folders] == [1, 2, 3]
    build(corpus_from_arrays(drawn.frames[:, :, ::-1], drawn.waves, drawn.videos))
    assert len(list(tmp_path.iterdir())) == 4
    with pytest.raises(InputError):
        build(one_video)
    assert len(list(tmp_path.iterdir())) == 4  # what is refused leaves nothing behind


def test_only_files_without_code_are_written(build, corpus, tmp_path):
    build(corpus)
    (folder,) = tmp_path.iterdir()
    assert folder.name.startswith("labels-")
    assert sorted(path.name for path in folder.iterdir()) == [
        "00000000.npz", "00000008.npz", "00000016.npz", "00000024.npz", "centre.json",
    ]  # fmt: skip
    with np.load(folder / "00000024.npz", allow_pickle=False) as stored:
        assert {name: len(stored[name]) for name in stored} == {"sounds": 1, "targets": 1, "weights": 1}


def test_without_other_sounds_only_the_own_is_labelled(build, corpus):
    labels = build(corpus, replace(CONFIG, other_sounds=0))
    assert labels.sounds.shape == (25, 1) and labels.targets.shape == (25, 1, 4, 4)
    np.testing.assert_array_equal(labels.sounds[:, 0], labels.rows)


def test_equal_percentiles_leave_no_doubt_and_the_highest_calls_almost_all_absent(build, corpus, tmp_path):
    lenient = build(corpus, replace(CONFIG, absent=0.0, present=0.0), tmp_path / "lenient")
    assert (lenient.weights == 1).all() and lenient.targets[:, 0].any((1, 2)).sum() >= 20
    strict = build(corpus, replace(CONFIG, absent=100.0, present=100.0), tmp_path / "strict")
    assert (strict.weights == 1).all() and strict.targets[:, 0].any((1, 2)).sum() <= 1


def test_nothing_touches_the_global_generators(build, corpus):
    cv2.setRNGSeed(5)
    torch.manual_seed(1)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    build(corpus)
    assert torch.equal(torch.get_rng_state(), before[0])
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])


def test_refuses_too_little_to_compare_with(build, corpus, silent_corpus, one_video):
    assert refusal(lambda: build(silent_corpus)) == (
        "labels need 7 frames with sound of other videos for every frame (labels.alike + labels.unlike, and "
        "labels.other_sounds), got 0; add videos."
    )
    assert refusal(lambda: build(corpus, LabelConfig(alike=20, unlike=5))) == (
        "labels need 25 frames with sound of other videos for every frame (labels.alike + labels.unlike, and "
        "labels.other_sounds), got 23; add videos, or lower them: --set labels.alike=18 --set labels.unlike=5."
    )
    assert build(corpus, LabelConfig(alike=18, unlike=5)) is not None  # what was said to type
    assert refusal(lambda: build(one_video)) == (
        "labels need 7 frames with sound of other videos for every frame (labels.alike + labels.unlike, and "
        "labels.other_sounds), got 0; add videos."
    )


def test_a_damaged_block_is_made_again(build, corpus, tmp_path):
    labels = build(corpus)
    block = next(iter(sorted(tmp_path.rglob("00000000.npz"))))
    whole = block.read_bytes()
    block.write_bytes(whole[: len(whole) // 2])
    again = build(corpus)
    np.testing.assert_array_equal(again.targets, labels.targets)
    np.testing.assert_array_equal(again.sounds, labels.sounds)


def test_other_sounds_are_of_other_videos(build, corpus):
    labels = build(corpus, LabelConfig(alike=3, unlike=4, other_sounds=6))
    assert (corpus.videos[labels.sounds[:, 1:]] != corpus.videos[labels.rows][:, None]).all()
    assert (labels.sounds[:, 0] == labels.rows).all()
