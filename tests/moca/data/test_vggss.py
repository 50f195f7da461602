"""VGG-SS on disk: entries, missing clips, the annotated frame and the sound around it, boxes as pixels, refusals."""

import json
from dataclasses import replace

import numpy as np
import pytest

from moca.data.names_on_disk import VGGSS_ANNOTATED_AT_S
from moca.data.vggss import read_vggss, vggss_paths
from moca.errors import InputError
from moca.evaluation.datasets import read_data
from moca.media import write_video
from moca.media.moment import read_moment
from moca.metrics.maps import box_map

RATE = 25
ENTRIES = [
    {"file": "a_000001", "class": "dog barking", "bbox": [[0.25, 0.5, 0.75, 1.0]]},
    {"file": "gone_000002", "class": "cat", "bbox": [[0, 0, 1, 1]]},
    {"file": "-b_000030", "class": "cat", "bbox": [[-2.88e16, -2.88e16, -2.88e16, -2.88e16], [0, 0, 0.5, 0.25]]},
    {"file": "a_000001", "class": "listed again", "bbox": []},
]


def write_clip(path, seconds):
    """Frame n is grey n; the sound's sample level says its second: 0.05, 0.1, ... as the tone's amplitude."""
    path.parent.mkdir(parents=True, exist_ok=True)
    frames = (np.full((32, 48, 3), number, np.uint8) for number in range(int(seconds * RATE)))
    time = np.arange(int(seconds * 16_000)) / 16_000
    audio = 0.05 * (1 + np.floor(time)) * np.sin(2 * np.pi * 440 * time)
    write_video(path, frames, rate_hz=RATE, audio=audio.astype(np.float32), sample_rate_hz=16_000)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("vggss")
    write_clip(root / "clips" / "deep" / "a_000001.mp4", 7)
    write_clip(root / "clips" / "-b_000030.mp4", 2)
    (root / "vggss.json").write_text(json.dumps(ENTRIES))
    return root


def read(root, **options):
    return read_vggss(*vggss_paths(root), **options)


def refusal(*arguments, **options):
    with pytest.raises(InputError) as caught:
        read_vggss(*arguments, **options)
    return str(caught.value)


def test_clips_that_are_there_in_order_and_the_names_of_the_others(root):
    found = read(root)
    assert [(clip.name, clip.category) for clip in found.clips] == [("a_000001", "dog barking"), ("-b_000030", "cat")]
    assert found.missing == ("gone_000002",)
    assert found.clips[0].boxes == ((0.25, 0.5, 0.75, 1.0),)
    assert found.clips[1].boxes[0] == (-2.88e16,) * 4  # degenerate, and kept


def test_the_one_step_is_the_125th_frame_with_the_sound_around_it(root):
    (step,) = read(root).clips[0].steps()
    assert abs(step.frame.mean() - 124) < 1.5  # counted from 0
    assert step.index == 0 and step.frame_s == pytest.approx(4.96)
    assert (step.start_s, step.end_s) == pytest.approx((VGGSS_ANNOTATED_AT_S - 0.5, VGGSS_ANNOTATED_AT_S + 0.5))
    assert step.audio.shape == (16_000,)
    tops = np.abs(step.audio).reshape(10, -1).max(axis=1)
    np.testing.assert_allclose(tops[:5], 0.25, atol=0.02)  # the fifth second's
    np.testing.assert_allclose(tops[6:], 0.3, atol=0.02)  # the sixth's


def test_more_sound_can_be_heard(root):
    (step,) = read(root, audio_s=3.0).clips[0].steps()
    assert (step.start_s, step.end_s) == pytest.approx((VGGSS_ANNOTATED_AT_S - 1.5, VGGSS_ANNOTATED_AT_S + 1.5))
    assert step.audio.shape == (48_000,)


def test_a_shorter_clip_gives_its_last_frame_and_last_second(root):
    (step,) = read(root).clips[1].steps()
    assert abs(step.frame.mean() - 49) < 1.5
    assert (step.start_s, step.end_s) == pytest.approx((1, 2), abs=0.01)
    assert np.abs(step.audio).max() == pytest.approx(0.1, abs=0.02)
    (whole,) = read(root, audio_s=5.0).clips[1].steps()
    assert (whole.start_s, whole.end_s) == pytest.approx((0, 2), abs=0.01)


def test_truth_is_the_union_of_the_boxes_at_the_frames_size(root):
    one, two = read(root).clips
    (truth,) = one.truths()
    wanted = np.zeros((32, 48), bool)
    wanted[16:32, 12:36] = True
    np.testing.assert_array_equal(truth, wanted)
    (truth,) = two.truths()
    wanted = np.zeros((32, 48), bool)
    wanted[:8, :24] = True
    np.testing.assert_array_equal(truth, wanted)


def test_boxes_are_cut_to_whole_pixels_inside_the_frame():
    assert not box_map([], (4, 4)).any()
    assert not box_map([(0.5, 0.5, 0.5, 0.9), (-3, -3, -2, -2)], (10, 10)).any()
    assert box_map([(-1, -1, 2, 2)], (3, 5)).all()
    found = box_map([(0.19, 0.0, 0.51, 0.1)], (10, 10))
    assert found.sum() == 4 and found[0, 1:5].all()
    both = box_map([(0, 0, 0.5, 1), (0.4, 0, 1, 1)], (10, 10))
    assert both.all()


def test_the_fingerprint_follows_clip_boxes_and_sound(root):
    one, two = read(root).clips
    before = one.fingerprint()
    assert before == read(root).clips[0].fingerprint() != two.fingerprint()
    assert replace(one, boxes=()).fingerprint() != before
    assert replace(one, audio_s=3.0).fingerprint() != before


def test_the_folder_above_will_do(tmp_path):
    (tmp_path / "VGGSound").mkdir()
    (tmp_path / "VGGSound" / "vggss.json").write_text("[]")
    wanted = (tmp_path / "VGGSound" / "vggss.json", tmp_path / "VGGSound" / "clips")
    assert vggss_paths(tmp_path) == wanted == vggss_paths(tmp_path / "VGGSound")
    with pytest.raises(InputError) as caught:
        vggss_paths(tmp_path / "no")
    assert str(caught.value) == (
        f"VGG-SS needs vggss.json beside a folder clips, not found in {tmp_path / 'no'} or "
        f"{tmp_path / 'no' / 'VGGSound'}; give the folder that holds vggss.json."
    )


@pytest.mark.parametrize(
    "entry",
    [
        {"file": "a", "class": "b"},
        {"file": "../a", "class": "b", "bbox": []},
        {"file": "a", "class": 3, "bbox": []},
        {"file": "a", "class": "b", "bbox": [[0, 0, 1]]},
        {"file": "a", "class": "b", "bbox": [[0, 0, 1, None]]},
        {"file": "a", "class": "b", "bbox": [[0, 0, 1, float("nan")]]},
        {"file": "a", "class": "b", "bbox": 4},
        "a",
    ],
)
def test_an_entry_that_is_not_vggsss_is_named(tmp_path, entry):
    path = tmp_path / "vggss.json"
    path.write_text(json.dumps([ENTRIES[0], entry]))
    assert refusal(path, tmp_path) == (
        f"{path} must have file (a name), class and bbox (a list of x0, y0, x1, y1) in every entry, "
        "entry 1 has not; copy it again."
    )


def test_refusals(root, tmp_path):
    boxes, clips = vggss_paths(root)
    assert refusal(boxes, clips, audio_s=0) == (
        "audio_s must be above 0 and at most 3600 seconds, got 0; 1 is one step."
    )
    assert refusal(boxes, tmp_path / "no") == (
        f"the folder of VGG-SS's clips must exist, {tmp_path / 'no'} does not; give the folder of the mp4s."
    )
    assert refusal(boxes, tmp_path) == (
        f"{tmp_path} must hold at least one of the 3 clips that vggss.json lists, has none "
        "(looked for a_000001.mp4 and the like); give the right folder."
    )
    missing = tmp_path / "no.json"
    assert refusal(missing, clips) == (
        f"{missing} must be VGG-SS's JSON file, it cannot be read (No such file or directory); copy it again."
    )
    missing.write_text("{}")
    assert refusal(missing, clips) == f"{missing} must be a list of entries, it is of type dict; give VGG-SS's file."
    missing.write_text("[")
    assert refusal(missing, clips).startswith(f"{missing} must be VGG-SS's JSON file, it cannot be read (Expecting")
    missing.write_text("[]")
    assert refusal(missing, clips) == (
        f"{clips} must hold at least one of the 0 clips that no.json lists, has none; give the right folder."
    )


def test_a_moment_is_refused_before_time_and_without_length(root):
    path = root / "clips" / "-b_000030.mp4"
    with pytest.raises(InputError) as caught:
        read_moment(path, -1)
    assert str(caught.value) == "time_s must be at least 0 seconds, got -1."
    with pytest.raises(InputError) as caught:
        read_moment(path, 0, audio_s=0)
    assert str(caught.value) == "audio_s must be above 0 and at most 3600 seconds, got 0; 1 is one step."


def test_a_moment_of_a_video_without_sound_has_none(tmp_path):
    frames = [np.full((16, 16, 3), 90, np.uint8)] * 3
    write_video(tmp_path / "mute.mp4", frames, rate_hz=3, audio=None, sample_rate_hz=16_000)
    step = read_moment(tmp_path / "mute.mp4", 0.5)
    assert step.audio is None and step.frame.shape == (16, 16, 3)


def test_a_reader_is_told_what_these_boxes_allow_a_heat_map_to_score(root):
    notes = read_data("vggss", root).notes
    assert notes == (
        "cIoU always chooses half of the picture: with these boxes no heat map reaches more than IoU@0.5 0.000 and AUC "
        "0.400; the AP of pixels has no such limit.",  # a quarter and an eighth of the frame: cIoU 0.5 and 0.25 at most
        "1 of 3 annotated clips are not there and are left out.",
    )
