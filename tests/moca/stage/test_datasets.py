"""write_stage in the layouts of AVSS, VGGSound and VGG-SS: what is written was drawn, and is what readers expect."""

import csv
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from moca.corpus.finding import find_clips
from moca.data.avss import read_avss
from moca.data.palette import class_colours
from moca.data.vggsound import read_vggsound
from moca.data.vggss import read_vggss, vggss_paths
from moca.errors import InputError
from moca.media import read_steps
from moca.stage import CLASSES, StageConfig, derive_seed, sample_clip, write_stage
from moca.stage.avss import avss_job
from moca.stage.vggsound import vggsound_job
from moca.stage.vggss import tight_box, vggss_job

FORM = {"size": 48, "rate_hz": 2}
PARTS = {"v1s": 5, "v1m": 5, "v2": 10}


@pytest.fixture(scope="module")
def stage(tmp_path_factory) -> Path:
    calls = []
    root = tmp_path_factory.mktemp("stage") / "world"
    write_stage(root, avss=(2, 0, 4), vggsound=3, vggss=4, seed=3, progress=lambda *call: calls.append(call), **FORM)
    assert calls == [("drawing clips", done, 13) for done in range(1, 14)]
    return root


def contents(root: Path) -> dict[str, bytes]:
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


def drawn(clip):
    """The clip of the test split as Soundstage draws it."""
    kind = "ms3" if clip.part == "v1m" or clip.name == "v2_test_00003" else "s4"
    lead = None if kind == "ms3" else clip.category
    seed = derive_seed(3, "test", clip.part, int(clip.name[-5:]))
    return sample_clip(seed, kind, StageConfig(**FORM, steps=PARTS[clip.part]), lead=lead)


def test_avss_has_its_parts_names_and_columns(stage):
    with open(stage / "AVSS" / "metadata.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["vid", "uid", "start", "end", "a_obj", "split", "label"]
    assert [(row["uid"], row["split"], row["label"]) for row in rows] == [
        ("v1s_train_00000", "train", "v1s"),
        ("v1m_train_00001", "train", "v1m"),
        ("v1s_test_00000", "test", "v1s"),
        ("v1m_test_00001", "test", "v1m"),
        ("v2_test_00002", "test", "v2"),
        ("v2_test_00003", "test", "v2"),
    ]
    for row in rows:
        place = stage / "AVSS" / row["label"] / row["uid"]
        count = PARTS[row["label"]]
        masks = 1 if (row["label"], row["split"]) == ("v1s", "train") else count
        assert sorted(path.name for path in place.iterdir()) == ["audio.wav", "frames", "labels_rgb", "labels_semantic"]
        assert {path.name for path in (place / "frames").iterdir()} == {f"{n}.jpg" for n in range(count)}
        for folder in ("labels_rgb", "labels_semantic"):
            assert {path.name for path in (place / folder).iterdir()} == {f"{n}.png" for n in range(masks)}
    numbers = json.loads((stage / "AVSS" / "label2idx.json").read_text())
    assert list(numbers) == ["background", *CLASSES] and list(numbers.values()) == list(range(len(CLASSES) + 1))


def test_avss_labels_are_the_sounding_objects_and_nothing_else(stage):
    clips, classes = read_avss(stage, size=None)
    silent_objects = 0
    for clip in clips:
        true, seen = drawn(clip), set()
        assert len(clip.frames) == true.config.steps
        for step, labels in enumerate(clip.truths()):
            np.testing.assert_array_equal(labels > 0, true.masks[step] > 0)
            for name, mask in zip(true.objects, true.object_masks[step], strict=True):
                sounds = name in true.sounding[step]
                silent_objects += not sounds
                np.testing.assert_array_equal(labels[mask > 0], classes.index[name] if sounds else 0)
                seen |= {name} if sounds else set()
        assert clip.category == "_".join(name for name in CLASSES if name in seen)
    assert silent_objects > 0


def test_avss_colours_are_those_of_the_numbers(stage):
    for clip in read_avss(stage, size=None)[0]:
        for path, labels in zip(clip.labels, clip.truths(), strict=True):
            with Image.open(path.parent.parent / "labels_rgb" / path.name) as image:
                np.testing.assert_array_equal(np.asarray(image.convert("RGB")), class_colours(15)[labels])


def test_avss_frames_and_sound_are_those_drawn(stage):
    for clip in read_avss(stage, size=None)[0]:
        true = drawn(clip)
        steps = list(clip.steps())
        for step, at in zip(steps, true.frames_at, strict=True):
            assert np.abs(step.frame.astype(int) - true.frames[at]).mean() < 6  # JPEG of a very small picture
        np.testing.assert_allclose(np.concatenate([step.audio for step in steps]), true.audio, atol=1e-4)


def test_avss_clips_are_others_than_those_of_s4_and_ms3(stage):
    clip = read_avss(stage, size=None)[0][0]
    same_number = sample_clip(derive_seed(3, "test", "s4", 0), "s4", StageConfig(**FORM), lead=clip.category)
    assert not np.array_equal(same_number.audio, drawn(clip).audio)


def test_vggsound_has_its_csv_and_videos(stage):
    folder = stage / "VGGSound"
    assert {path.name for path in folder.iterdir()} == {"vggsound.csv", "vggss.json", "clips"}
    lines = (folder / "vggsound.csv").read_text().splitlines()
    trained, tested = ([f"{name}_{n:05d},0,{CLASSES[n]}" for n in range(4)] for name in ("train", "stage"))
    assert lines == [*(f"{row},train" for row in trained[:3]), *(f"{row},test" for row in tested)]
    found = read_vggsound(folder / "vggsound.csv", folder / "clips", "test")
    assert [clip.name for clip in found.clips] == [f"stage_{n:05d}_000000" for n in range(4)]
    assert len(found.clips[0].youtube_id) == 11 and not found.missing
    steps = list(read_steps(found.clips[0].path))
    assert len(steps) == 5 and np.abs(steps[0].audio).max() > 0.01


def test_vggsound_trains_on_one_large_sounding_object(stage):
    """One in the picture, heard in the first second, covering what kind "single" promises."""
    found = read_vggsound(stage / "VGGSound" / "vggsound.csv", stage / "VGGSound" / "clips", "train")
    assert [clip.name for clip in found.clips] == [f"train_{n:05d}_000000" for n in range(3)] and not found.missing
    assert len(found.clips[0].youtube_id) == 11
    for number, clip in enumerate(found.clips):
        true = sample_clip(derive_seed(3, "train", "single", number), "single", StageConfig(**FORM), lead=clip.label)
        assert true.objects == true.heard[0] == (clip.label,) and 0.05 < true.masks[0].mean() <= 0.35
        steps = list(read_steps(clip.path))
        assert len(steps) == 5 and np.abs(steps[0].audio).max() > 0.01
        assert np.abs(steps[-1].frame.astype(int) - true.frames[-1]).mean() < 12  # H.264
    assert len({clip.label for clip in found.clips}) == 3


def test_training_finds_the_training_clips_alone(stage):
    folder = stage / "VGGSound"
    sources = find_clips(folder / "vggsound.csv", clips=folder / "clips")
    assert [source.name for source in sources] == [f"train_{n:05d}_000000" for n in range(3)]


def test_training_clips_alone_are_a_vggsound_without_boxes(tmp_path):
    write_stage(tmp_path / "stage", vggsound=1, **FORM)
    assert {path.name for path in (tmp_path / "stage" / "VGGSound").iterdir()} == {"vggsound.csv", "clips"}
    assert json.loads((tmp_path / "stage" / "stage.json").read_text())["counts"]["vggsound"] == {"train": 1}


def test_vggss_boxes_hold_what_sounds_at_the_annotated_frame(stage):
    found = read_vggss(*vggss_paths(stage))
    for number, clip in enumerate(found.clips):
        job = vggss_job(stage, number, 3, StageConfig(**FORM))
        true = sample_clip(job.clip_seed, job.kind, job.config, lead=job.lead)
        names = true.sounding[-1]
        assert clip.category == job.lead and job.lead in names and len(clip.boxes) == len(names)
        (truth,) = clip.truths()
        assert truth.shape == (48, 48) and not (true.masks[-1].astype(bool) & ~truth).any()
        for name, box in zip([name for name in true.objects if name in names], clip.boxes, strict=True):
            mask = true.object_masks[-1, true.objects.index(name)] > 0
            x0, y0, x1, y1 = (int(side * 48) for side in box)
            assert mask[y0:y1, x0:x1].sum() == mask.sum()
            assert mask[y0].any() and mask[y1 - 1].any() and mask[:, x0].any() and mask[:, x1 - 1].any()  # tight
        (step,) = clip.steps()
        assert np.abs(step.frame.astype(int) - true.frames[-1]).mean() < 12  # H.264
        others = [np.abs(step.frame.astype(int) - true.frames[at]).mean() for at in range(len(true.frames) - 2)]
        assert np.abs(step.frame.astype(int) - true.frames[-1]).mean() < min(others)


def test_some_vggss_clips_have_several_sources_and_every_lead_sounds_when_asked():
    jobs = [vggss_job(Path("x"), number, 0, StageConfig(size=48)) for number in range(120)]
    kinds = [job.kind for job in jobs]
    assert 0.2 < kinds.count("ms3") / len(kinds) < 0.3
    assert {job.lead for job in jobs if job.kind == "ms3"} == set(CLASSES)
    first = [derive_seed(0, "test", "vggss-0", number) for number in range(120)]
    kept = [job.clip_seed == seed for job, seed in zip(jobs, first, strict=True)]
    assert any(kept) and not all(kept)  # a first draw whose lead is silent then is passed over


def test_clips_travel_to_other_processes():
    drawn = (Path("x"), 1, 0, StageConfig())
    for job in (vggsound_job(*drawn), vggss_job(*drawn), avss_job(Path("x"), "val", 2, 0, StageConfig())):
        assert job.clip_seed and pickle.loads(pickle.dumps(job)) == job


def test_a_box_is_exact_at_its_own_size_at_every_pixel():
    for side in (32, 49, 224):
        for start in range(side):
            mask = np.zeros((side, side), bool)
            mask[start, start] = True
            assert [int(part * side) for part in tight_box(mask)] == [start, start, start + 1, start + 1]


def test_a_stage_with_other_data_sets_resumes_and_grows_to_what_it_would_have_been(tmp_path, stage):
    parts = tmp_path / "parts"
    write_stage(parts, avss=(1, 0, 2), vggsound=2, vggss=1, seed=3, **FORM)
    kept = next(parts.rglob("v1s_test_00000/audio.wav"))
    stamp = kept.stat().st_mtime_ns
    lost = [next(parts.rglob("v1m_test_00001/labels_rgb/3.png")), next(parts.rglob("*.mp4"))]
    for path in lost:
        path.unlink()
    write_stage(parts, avss=(2, 0, 4), vggsound=3, vggss=4, seed=3, **FORM)
    assert contents(parts) == contents(stage)
    assert kept.stat().st_mtime_ns == stamp


def test_a_stage_of_before_these_data_sets_is_continued(tmp_path):
    root = tmp_path / "old"
    write_stage(root, s4=(1, 0, 0), **FORM)
    settings = json.loads((root / "stage.json").read_text())
    assert settings["counts"].pop("avss") == {"train": 0, "val": 0, "test": 0}
    assert settings["counts"].pop("vggss") == {"test": 0} and settings["counts"].pop("vggsound") == {"train": 0}
    (root / "stage.json").write_text(json.dumps(settings))
    before = next(root.rglob("s4_train_00000.wav")).stat().st_mtime_ns
    write_stage(root, s4=(1, 0, 0), vggss=1, **FORM)
    assert next(root.rglob("s4_train_00000.wav")).stat().st_mtime_ns == before
    assert len(read_vggss(*vggss_paths(root)).clips) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"avss": (1, 2)},
            "avss must be three clip counts (train, val, test) of at least 0, got (1, 2); pass for example (20, 5, 5).",
        ),
        ({"vggss": -1}, "vggss must be a clip count of at least 0, got -1; pass for example 5."),
        ({"vggsound": 2.5}, "vggsound must be a clip count of at least 0, got 2.5; pass for example 5."),
        ({"vggss": True}, "vggss must be a clip count of at least 0, got True; pass for example 5."),
    ],
)
def test_refused_requests_write_nothing(tmp_path, options, message):
    with pytest.raises(InputError) as caught:
        write_stage(tmp_path / "new", **options)
    assert str(caught.value) == message
    assert not (tmp_path / "new").exists()
