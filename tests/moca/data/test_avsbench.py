import numpy as np
import pytest
from PIL import Image
from scipy.io import wavfile

from moca.data.avsbench import load_mask, read_avsbench
from moca.errors import InputError

SIZE = (6, 8)


def save(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)


def write_clip(data, *, frames, masks, audio, annotated, seconds=5.0):
    for number in range(1, 6):
        save(data / frames.format(number), np.full((*SIZE, 3), number * 10, np.uint8))
        if number <= annotated:
            mask = np.zeros(SIZE, np.uint8)
            mask[:number] = 255
            save(data / masks.format(number), mask)
    path = data / audio
    path.parent.mkdir(parents=True, exist_ok=True)
    second = np.repeat(np.arange(1, 6) * 1000, 16_000)[: int(seconds * 16_000)]
    wavfile.write(path, 16_000, second.astype(np.int16))


@pytest.fixture
def s4(tmp_path):
    """Single-source with one training, one validation and two test clips."""
    base = tmp_path / "Single-source"
    rows = [
        ("a_1", "dog_barking", "train"),
        ("-b_2", "dog_barking", "val"),
        ("c_3", "helicopter", "test"),
        ("d_4", "lions_roaring", "test"),
    ]
    for name, category, split in rows:
        place = f"{split}/{category}/{name}/{name}_{{}}.png"
        write_clip(
            base / "s4_data",
            frames=f"visual_frames/{place}",
            masks=f"gt_masks/{place}",
            audio=f"audio_wav/{split}/{category}/{name}.wav",
            annotated=1 if split == "train" else 5,
        )
    lines = ["name,start,category,split", *(f"{n},0,{c},{s}" for n, c, s in rows)]
    (base / "s4_meta_data.csv").write_text("\n".join(lines) + "\n")
    return tmp_path


@pytest.fixture
def ms3(tmp_path):
    base = tmp_path / "Multi-sources"
    for name, split in (("x", "train"), ("y", "test")):
        write_clip(
            base / "ms3_data",
            frames=f"visual_frames/{name}/{name}.mp4_{{}}.png",
            masks=f"gt_masks/{split}/{name}/{name}_{{}}.png",
            audio=f"audio_wav/{split}/{name}.wav",
            annotated=5,
        )
    (base / "ms3_meta_data.csv").write_text("video_id,split\nx,train\ny,test\n")
    return tmp_path


def test_s4_test_clips_have_five_masks_in_csv_order(s4):
    clips = read_avsbench(s4, "s4", "test")
    assert [(clip.name, clip.category) for clip in clips] == [("c_3", "helicopter"), ("d_4", "lions_roaring")]
    assert all(len(clip.frames) == len(clip.masks) == 5 and None not in clip.masks for clip in clips)
    assert [int(truth.any(axis=1).sum()) for truth in clips[0].truths()] == [1, 2, 3, 4, 5]


def test_s4_training_clips_are_annotated_on_their_first_frame_only(s4):
    (clip,) = read_avsbench(s4, "s4", "train")
    assert clip.masks[0].is_file() and clip.masks[1:] == (None,) * 4
    assert [truth is None for truth in clip.truths()] == [False, True, True, True, True]


def test_ms3_names_and_five_masks_in_every_split(ms3):
    for split, name in (("train", "x"), ("test", "y")):
        (clip,) = read_avsbench(ms3, "ms3", split)
        assert (clip.name, clip.category) == (name, "") and None not in clip.masks
        assert clip.frames[0].parts[-3:] == ("visual_frames", name, f"{name}.mp4_1.png")
        assert clip.masks[4].parts[-4:] == ("gt_masks", split, name, f"{name}_5.png")


def test_any_of_the_three_folders_will_do(s4, ms3):
    wanted = read_avsbench(s4, "s4", "test")
    assert read_avsbench(s4 / "Single-source", "s4", "test") == wanted
    assert read_avsbench(str(s4 / "Single-source" / "s4_data"), "s4", "test") == wanted
    assert read_avsbench(ms3 / "Multi-sources" / "ms3_data", "ms3", "test") == read_avsbench(ms3, "ms3", "test")


def test_columns_go_by_header_then_by_position(s4):
    path = s4 / "Single-source" / "s4_meta_data.csv"
    wanted = read_avsbench(s4, "s4", "test")
    rows = [line.split(",") for line in path.read_text().split()[1:]]
    path.write_text("split,category,name\n" + "".join(f"{r[3]},{r[2]},{r[0]}\n" for r in rows))
    assert read_avsbench(s4, "s4", "test") == wanted
    path.write_text("\ufeffvideo,from,class,part\n" + "".join(",".join(r) + "\n" for r in rows) + "\n")
    assert read_avsbench(s4, "s4", "test") == wanted


def test_steps_hold_the_frame_and_its_second_of_sound(s4):
    steps = list(read_avsbench(s4, "s4", "test")[0].steps())
    assert [(s.index, s.start_s, s.end_s, s.frame_s) for s in steps[:2]] == [
        (0, 0, 1, 0.9375),
        (1, 1, 2, 1.9375),
    ]
    for number, step in enumerate(steps, start=1):
        assert step.frame.shape == (*SIZE, 3) and step.frame.dtype == np.uint8 and (step.frame == number * 10).all()
        assert step.audio.shape == (16_000,) and step.audio.dtype == np.float32 and step.sample_rate_hz == 16_000
        np.testing.assert_allclose(step.audio, number * 1000 / 32768)


def test_sound_that_ends_early_is_padded_then_absent(s4):
    clip = read_avsbench(s4, "s4", "test")[0]
    wavfile.write(clip.audio, 16_000, np.full(40_000, 8192, np.int16))
    audio = [step.audio for step in clip.steps()]
    assert (audio[2][:8000] == 0.25).all() and not audio[2][8000:].any() and audio[3] is None and audio[4] is None


@pytest.mark.parametrize("mode", ["1", "L with 1", "L with 255", "P", "RGB", "RGBA", "LA", "I;16"])
def test_masks_are_read_by_value(tmp_path, mode):
    truth = np.zeros(SIZE, bool)
    truth[1:3, 2:5] = True
    path = tmp_path / "mask.png"
    if mode == "P":
        image = Image.fromarray(truth.astype(np.uint8))
        image.putpalette([0, 0, 0, 128, 0, 0])  # makes it mode P
    elif mode == "I;16":
        image = Image.fromarray(truth.astype(np.uint16) * 256)
    elif mode.startswith("L with"):
        image = Image.fromarray(truth.astype(np.uint8) * int(mode.split()[-1]))
    else:
        image = Image.fromarray(truth.astype(np.uint8) * 255).convert(mode)  # opaque everywhere where it has alpha
    image.save(path)
    assert np.array_equal(load_mask(path), truth) and load_mask(path).dtype == bool


def test_the_fingerprint_follows_the_files(s4):
    one, two = read_avsbench(s4, "s4", "test")
    before = one.fingerprint()
    assert before == read_avsbench(s4, "s4", "test")[0].fingerprint() != two.fingerprint()
    save(one.masks[0], np.zeros((3, 3), np.uint8))
    assert one.fingerprint() != before


def test_missing_files_are_listed_in_one_message(s4):
    clips = read_avsbench(s4, "s4", "test")
    for path in (*clips[0].frames, clips[1].audio):
        path.unlink()
    base = s4 / "Single-source"
    names = ", ".join(f"s4_data/visual_frames/test/helicopter/c_3/c_3_{n}.png" for n in range(1, 6))
    assert refusal(s4, "s4", "test") == (
        f"AVSBench s4 test needs 22 files in {base}, 6 are missing: {names}, ...; unpack the data set again."
    )


def test_refusals(s4):
    base = s4 / "Single-source"
    assert refusal(s4, "s5", "test") == "subset must be one of s4, ms3, got 's5'; choose one of them."
    assert refusal(s4, "s4", "dev") == (
        "split must be one of train, val, test, got 'dev'; results are reported on test."
    )
    assert refusal(s4, "ms3", "test") == (
        f"AVSBench ms3 needs Multi-sources/ms3_meta_data.csv, not found under {s4}; "
        "give the folder that holds Multi-sources/ (the authors release the data on request)."
    )
    table = base / "s4_meta_data.csv"
    table.write_text("name,start,category,split\na_1,0,dog_barking,train\n")
    assert refusal(s4, "s4", "test") == (
        f"split test must have at least 1 clip, {table} lists 0; check its split column."
    )
    table.write_text("id,start\na_1,0\n")
    assert refusal(s4, "s4", "test") == (
        "s4_meta_data.csv must have a column 'category', its header is ['id', 'start']; "
        "name the column or put it at place 3."
    )
    table.write_text("name,start,category,split\na_1,0\n")
    assert refusal(s4, "s4", "test") == (
        "s4_meta_data.csv must have 4 columns in every row, line 2 has 2; repair the line."
    )


def test_a_broken_picture_is_named(s4):
    clip = read_avsbench(s4, "s4", "test")[0]
    clip.frames[1].write_bytes(b"broken")
    steps = clip.steps()
    next(steps)
    with pytest.raises(
        InputError, match=r"^frames and masks must be images, .*c_3_2\.png cannot be read \(.*copy it again"
    ):
        next(steps)


def refusal(*arguments):
    with pytest.raises(InputError) as caught:
        read_avsbench(*arguments)
    return str(caught.value)
