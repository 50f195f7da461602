"""Painting: what must be visible, what must stay as it was, and frames of any shape."""

import math

import numpy as np
import pytest

from moca.core.step import StepResult
from moca.errors import InputError
from moca.reports.captions import caption, format_level, format_time, meter_fill, paint_step
from moca.reports.painting import (
    MASK_COLOUR,
    contact_sheet,
    dim_outside,
    paint_heat,
    paint_mask,
    paint_proposals,
    proposal_colour,
)

SIZES = [(16, 16), (16, 16000), (16000, 16), (16, 400), (400, 16), (33, 47), (64, 64), (240, 426), (480, 270)]


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def disc(height, width, share=0.3):
    rows, columns = np.mgrid[:height, :width]
    return np.hypot((rows - height / 2) / height, (columns - width / 2) / width) < share


def result(mask, **changes):
    fields = {"index": 3, "start_s": 3.0, "end_s": 4.0, "frame_s": 3.5, "score": 0.41, "level_dbfs": -23.0}
    return StepResult(mask=mask, heat=mask.astype(np.float32), **(fields | changes))


def empty_result(height, width, reason="the audio is silent (level -72 dBFS)", **changes):
    return result(np.zeros((height, width), bool), reason=reason, **changes)


PAINTERS = {
    "mask": lambda frame: paint_mask(frame, disc(*frame.shape[:2])),
    "heat": lambda frame: paint_heat(frame, disc(*frame.shape[:2]).astype(np.float32)),
    "dim": lambda frame: dim_outside(frame, disc(*frame.shape[:2])),
    "caption": lambda frame: caption(frame, ["first line", "a second, longer line of text"], meter=0.5),
    "proposals": lambda frame: paint_proposals(frame, [disc(*frame.shape[:2]), ~disc(*frame.shape[:2])], [0]),
    "step": lambda frame: paint_step(frame, result(disc(*frame.shape[:2]))),
    "empty step": lambda frame: paint_step(frame, empty_result(*frame.shape[:2])),
}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", PAINTERS)
def test_keeps_size_and_type_leaves_the_input_and_changes_something(name, size):
    frame = noise(*size)
    before = frame.copy()
    frame.flags.writeable = False
    painted = PAINTERS[name](frame)
    assert painted.shape == frame.shape and painted.dtype == np.uint8
    assert np.array_equal(frame, before)
    assert not np.array_equal(painted, before)


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (5000, 1)])
@pytest.mark.parametrize("name", PAINTERS)
def test_a_frame_of_one_row_or_column_is_painted(name, size):
    frame = noise(*size)
    assert PAINTERS[name](frame).shape == frame.shape


@pytest.mark.parametrize("size", [(16, 16000), (1, 5000), (5000, 1), (1, 1)])
def test_a_contact_sheet_takes_frames_of_any_shape(size):
    sheet = contact_sheet([noise(*size), noise(20, 30)], 2, gap=1)
    assert sheet.shape == (max(size[0], 20) + 2, 2 * max(size[1], 30) + 3, 3)


@pytest.mark.parametrize("background", [(0, 0, 0), (255, 255, 255), (128, 128, 128), (0, 255, 0), MASK_COLOUR])
def test_the_outline_shows_on_any_background(background):
    frame = np.full((120, 160, 3), background, np.uint8)
    mask = disc(120, 160)
    change = np.abs(paint_mask(frame, mask).astype(int) - frame).max(axis=2)
    rows = change[60]  # across the middle: two crossings of the outline
    left = int(np.flatnonzero(mask[60])[0])
    assert rows[left - 2 : left + 2].max() >= 100
    assert (change[60, : left - 3] == 0).all()


def test_the_tint_is_the_share_asked_for_and_only_inside():
    frame = np.full((60, 60, 3), 100, np.uint8)
    mask = np.zeros((60, 60), bool)
    mask[20:40, 20:40] = True
    painted = paint_mask(frame, mask, colour=(200, 0, 100), alpha=0.5)
    assert painted[30, 30].tolist() == [150, 50, 100]
    assert (painted[:18] == 100).all() and (painted[:, 42:] == 100).all()
    assert painted[20, 30].tolist() == [255, 255, 255]  # inside the edge
    assert painted[19, 30].tolist() == [25, 25, 25]  # outside it
    assert paint_mask(frame, mask, alpha=0.0)[30, 30].tolist() == [100, 100, 100]


def test_an_empty_mask_paints_nothing_and_a_full_one_is_framed():
    frame = noise(40, 50)
    assert np.array_equal(paint_mask(frame, np.zeros((40, 50), bool)), frame)
    framed = paint_mask(frame, np.ones((40, 50), bool))
    assert (framed[0] == 255).all() and (framed[:, -1] == 255).all()
    assert not (framed[20, 25] == 255).all()


def test_one_pixel_is_visible():
    frame = np.full((40, 50, 3), 90, np.uint8)
    mask = np.zeros((40, 50), bool)
    mask[39, 0] = True
    painted = paint_mask(frame, mask)
    assert painted[39, 0].tolist() == [255, 255, 255]
    assert 1 < (painted != frame).any(axis=2).sum() <= 9


def test_heat_is_darkest_at_zero_and_brightest_at_one():
    frame = np.full((20, 30, 3), 100, np.uint8)
    heat = np.tile(np.linspace(0, 1, 30, dtype=np.float32), (20, 1))
    brightness = paint_heat(frame, heat).astype(int).sum(axis=2)[0]
    assert brightness[0] == brightness.min() and brightness[-1] == brightness.max()
    assert (np.diff(brightness[::5]) > 0).all()


def test_heat_outside_the_range_is_clipped_and_nan_is_zero():
    frame = noise(4, 4)
    odd = np.array([[np.nan, -1, 2, 0.5]] * 4, np.float32)
    plain = np.array([[0, 0, 1, 0.5]] * 4, np.float32)
    assert np.array_equal(paint_heat(frame, odd), paint_heat(frame, plain))


def test_dim_outside_keeps_the_inside_exactly():
    frame, mask = noise(40, 50), disc(40, 50)
    dimmed = dim_outside(frame, mask)
    assert np.array_equal(dimmed[mask], frame[mask])
    assert dimmed[~mask].mean() < 0.5 * frame[~mask].mean()
    assert (dim_outside(frame, mask, strength=1.0)[~mask] == 0).all()


def rows_used(size, lines, **options):
    frame = np.full((*size, 3), 200, np.uint8)
    changed = (caption(frame, lines, **options) != frame).any(axis=2)
    return np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))


def test_a_caption_grows_with_the_frame_and_stays_at_the_bottom_left():
    for height, width in [(240, 426), (720, 1280), (2160, 3840)]:
        rows, columns = rows_used((height, width), ["0:03.5   -23 dBFS   score 0.41"], meter=0.6)
        assert 0.04 * height < len(rows) < 0.13 * height
        assert rows.min() > 0.8 * height and columns.min() < 0.05 * width and columns.max() < 0.75 * width


def test_long_captions_wrap_and_never_cover_half_the_frame():
    rows, columns = rows_used((240, 320), ["a reason that goes on and on " * 40])
    assert len(rows) < 120 and columns.max() < 320
    assert len(rows) > len(rows_used((240, 320), ["short"])[0])


def test_a_caption_of_nothing_changes_nothing():
    frame = noise(100, 100)
    assert np.array_equal(caption(frame, []), frame)
    assert not np.array_equal(caption(frame, [], meter=0.0), frame)


def test_captions_take_any_text():
    assert caption(noise(100, 200), ["naïve − “日本”\n\x00…", ""]).shape == (100, 200, 3)


@pytest.mark.parametrize("side", [64, 100, 320, 720])
def test_every_level_can_be_drawn(side):
    frame = np.zeros((side, side, 3), np.uint8)
    for meter in np.linspace(0, 1, 49):
        caption(frame, ["0:03.5   -23 dBFS"], meter=float(meter))


def test_the_meter_shows_the_level():
    frame = np.zeros((240, 426, 3), np.uint8)

    def green(level):
        painted = paint_step(frame, empty_result(240, 426, reason="x", level_dbfs=level)).astype(int)
        return int(((painted[..., 1] - painted[..., 0]) > 60).sum())

    assert green(-math.inf) == green(-60.0) == 0 < green(-40.0) < green(-25.0)


def test_a_step_without_mask_says_why():
    frame = noise(240, 426)
    silent, faint = (paint_step(frame, empty_result(240, 426, reason=text)) for text in ("silent", "faint"))
    assert not np.array_equal(silent, faint)
    unknown = paint_step(frame, empty_result(240, 426, reason=None, score=math.nan))
    assert np.array_equal(unknown[:150], frame[:150])  # nothing but the caption


def test_contact_sheet_places_every_image():
    images = [np.full((10, 20, 3), 10 * i, np.uint8) for i in range(1, 6)]
    sheet = contact_sheet(images, 3, gap=2)
    assert sheet.shape == (2 * 12 + 2, 3 * 22 + 2, 3)
    assert (sheet[2:12, 2:22] == 10).all() and (sheet[14:24, 24:44] == 50).all()
    assert (sheet[14:24, 46:66] == sheet[0, 0]).all()


def test_contact_sheet_centres_smaller_images():
    sheet = contact_sheet([np.full((10, 10, 3), 1, np.uint8), np.full((4, 6, 3), 2, np.uint8)], 2, gap=0)
    assert (sheet[3:7, 12:18] == 2).all() and (sheet[:3, 10:] == 24).any()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0:00"), (3.5, "0:03.5"), (59.97, "1:00"), (63.04, "1:03"), (3600, "1:00:00"), (-0.01, "0:00")],
)
def test_format_time(seconds, text):
    assert format_time(seconds) == text


def test_levels():
    assert (format_level(-23.4), format_level(-math.inf), format_level(math.nan)) == (
        "-23 dBFS",
        "no sound",
        "no sound",
    )
    assert [meter_fill(level) for level in (-math.inf, -90, -60, -30, 0, 6)] == [0, 0, 0, 0.5, 1, 1]


FRAME = np.zeros((4, 6, 3), np.uint8)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: paint_mask(FRAME, np.zeros((4, 5), bool)),
            "mask must have the frame's size (4, 6), got (4, 5); resize it first.",
        ),
        (
            lambda: paint_heat(FRAME.astype(np.float32), np.zeros((4, 6))),
            "a frame must be a uint8 array of shape (height, width, 3), got float32 (4, 6, 3) for frame 0; "
            "convert it to RGB.",
        ),
        (
            lambda: paint_mask(FRAME, np.zeros((4, 6), bool), alpha=1.5),
            "alpha must be between 0 and 1, got 1.5; leave it out for the default.",
        ),
        (
            lambda: paint_mask(FRAME, np.zeros((4, 6), bool), colour=(0, 0, 300)),
            "colour must be three values from 0 to 255, got (0, 0, 300); give it as (r, g, b).",
        ),
        (
            lambda: contact_sheet([], 3),
            "a contact sheet needs at least 1 image and 1 column, got 0 and 3; add some.",
        ),
    ],
)
def test_refusals(call, message):
    with pytest.raises(InputError) as error:
        call()
    assert str(error.value) == message


def test_proposals_are_told_apart_and_those_that_match_stand_out():
    frame = noise(120, 160)
    left, right = np.zeros((120, 160), bool), np.zeros((120, 160), bool)
    left[20:100, 10:70], right[20:100, 90:150] = True, True
    painted = paint_proposals(frame, [left, right], [1])
    assert tuple(painted[20, 40]) == proposal_colour(0) != proposal_colour(1) == tuple(painted[20, 120])
    grey = np.ptp(painted.astype(int), axis=-1)
    assert grey[40:80, 30:50].max() == 0 and grey[:10].max() == 0  # not matched, and outside: no colour of the frame
    assert grey[40:80, 110:130].mean() > 40
    edges = [(painted == proposal_colour(index)).all(-1).sum() for index in (0, 1)]
    assert edges[1] > 1.5 * edges[0]  # the matched one's outline is twice as wide


def test_a_better_proposal_lies_over_a_worse_one_and_a_match_over_both():
    frame, mask = noise(64, 64), disc(64, 64)
    for matched, top in (((), 0), ((1,), 1)):
        painted = paint_proposals(frame, [mask, mask.copy()], matched)
        assert (painted == proposal_colour(top)).all(-1).any() and not (painted == proposal_colour(1 - top)).all(
            -1
        ).any()
    assert len({proposal_colour(index) for index in range(40)}) == 40


def test_no_proposals_leave_a_dim_grey_frame():
    frame = noise(40, 60)
    empty = paint_proposals(frame, [])
    assert np.ptp(empty, axis=-1).max() == 0 and empty.mean() < frame.mean()
    np.testing.assert_array_equal(paint_proposals(frame, [np.zeros((40, 60), bool)]), empty)
    with pytest.raises(InputError, match="mask must have the frame's size"):
        paint_proposals(frame, [np.zeros((4, 4), bool)])
