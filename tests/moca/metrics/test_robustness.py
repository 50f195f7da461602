"""AVSBench-Robust's numbers against ones worked out by hand."""

import numpy as np
import pytest

from moca.errors import InputError
from moca.metrics import score_video
from moca.metrics.robustness import COLUMNS, g_miou, resampled_robustness, robustness
from moca.metrics.segmentation import frame_iou, mask_areas, masked_frames


def sums(masks, truth) -> dict:
    masks = np.asarray(masks, bool)
    return score_video(masks, masks.astype(np.float32), np.asarray(truth, bool)).to_json()


@pytest.fixture
def worked_out():
    """Two clips with their own sound and with noise, on frames of 2 x 2; every number below is from pencil and paper.

    Own sound: truth is the left column; IoUs 1, 2/4 and 1/3 of the first clip, 0 of the second one's only frame.
    Noise: 0 and 1 of 4 pixels masked in the first clip, 3 of 4 and 0 in the second: two false alarms of four.
    """
    left, nothing, all_four = [[1, 0], [1, 0]], [[0, 0], [0, 0]], [[1, 1], [1, 1]]
    one_right_one_wrong = [[1, 1], [0, 0]]
    own = [
        sums([left, all_four, one_right_one_wrong], [left, left, left]),
        sums([nothing], [left]),
    ]
    noise = [sums([nothing, [[0, 1], [0, 0]]], [left, left]), sums([[[1, 1], [1, 0]], nothing], [nothing, nothing])]
    return noise, own


def test_numbers_are_those_worked_out_by_hand(worked_out):
    found = robustness(*worked_out)
    assert list(found) == list(COLUMNS)
    assert found["fpr"] == pytest.approx((0 + 1 / 4 + 3 / 4 + 0) / 4)
    assert found["false_alarms"] == pytest.approx(2 / 4)
    assert found["g_miou"] == pytest.approx(((1 + 2 / 4 + 1 / 3 + 0) / 4 + 2 / 4) / 2)


def test_without_matching_clips_there_is_no_g_miou(worked_out):
    assert robustness(worked_out[0]) == {name: robustness(*worked_out)[name] for name in ("fpr", "false_alarms")}


def test_the_ends_and_the_middle_of_g_miou():
    left = np.zeros((1, 4, 4), bool)
    left[..., :2] = True
    own, silent = [sums(left, left)], [sums(left * False, left * False)]
    deaf = [sums(left, left * False)]  # masks the same, whatever is heard
    blind = [sums(left * False, left)]  # masks nothing, ever
    assert robustness(silent, own)["g_miou"] == 1
    assert robustness(deaf, own)["g_miou"] == robustness(silent, blind)["g_miou"] == 0.5
    assert robustness(deaf, blind)["g_miou"] == 0
    assert g_miou(0.6, 0.8) == pytest.approx(0.7)


def test_fpr_is_what_avsbench_loses_where_the_truth_is_empty():
    masks = np.random.default_rng(0).random((6, 5, 7)) < np.linspace(0, 1, 6)[:, None, None]
    nothing = np.zeros_like(masks)
    assert mask_areas(masks, nothing) == pytest.approx(1 - frame_iou(masks, nothing), abs=1e-6)
    assert masked_frames(masks, nothing).tolist() == [0, 1, 1, 1, 1, 1]


def test_the_truth_of_non_matching_clips_does_not_count():
    masks, generator = np.random.default_rng(1).random((3, 4, 4)) < 0.4, np.random.default_rng(2)
    found = [robustness([sums(masks, generator.random((3, 4, 4)) < 0.5)]) for _ in range(2)]
    assert found[0] == found[1] != robustness([sums(~masks, masks)])


def test_sets_drawn_from_the_clips_are_measured_as_if_they_were_the_clips(worked_out):
    noise, own = worked_out
    drawn = resampled_robustness(noise, own, negative=np.array([[2, 0], [1, 1]]), matching=np.array([[0, 2], [2, 0]]))
    assert [values[0] for values in drawn.values()] == pytest.approx([*robustness([noise[0]] * 2, [own[1]]).values()])
    assert [values[1] for values in drawn.values()] == pytest.approx([*robustness(noise, [own[0]] * 2).values()])


def test_nothing_cannot_be_measured():
    with pytest.raises(InputError) as refusal:
        robustness([])
    assert str(refusal.value) == "false positives are measured over at least 1 clip, got 0; score clips first."
