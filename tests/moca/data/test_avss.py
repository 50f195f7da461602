"""AVSS on disk: parts, splits, labels by value, classes in any order, refusals; the words of its classes."""

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from scipy.io import wavfile

from moca.data.avss import AVSSClasses, load_labels, read_avss
from moca.data.avss_words import AVSS_WORDS
from moca.data.palette import class_colours
from moca.errors import InputError
from moca.foundation.manifest import find_entry, local_source

CLASSES = {"background": 0, "violin": 2, "dog": 1, "man": 3}  # neither alphabetical nor in order
ROWS = [
    ("a", "v1s", "train", "dog"),
    ("b", "v1m", "train", "dog_man"),
    ("c", "v1s", "test", "violin"),
    ("d", "v2", "test", "man"),
    ("e", "v1m", "test", "dog_violin"),
]
LENGTH = {"v1s": 5, "v1m": 5, "v2": 10}
SIZE = (6, 8)


def save(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)


@pytest.fixture
def root(tmp_path):
    """Two training and three test clips; frame n is grey n * 20, its label n % 4 in the first column."""
    for name, part, split, _ in ROWS:
        place = tmp_path / part / name
        for number in range(LENGTH[part]):
            save(place / "frames" / f"{number}.jpg", np.full((*SIZE, 3), number * 20, np.uint8))
            if number == 0 or split != "train" or part != "v1s":
                labels = np.zeros(SIZE, np.uint8)
                labels[:, 0] = number % 4
                save(place / "labels_semantic" / f"{number}.png", labels)
        second = np.repeat(np.arange(1, LENGTH[part] + 1) * 1000, 16_000)
        wavfile.write(place / "audio.wav", 16_000, second.astype(np.int16))
    lines = ["vid,uid,s,e,a_obj,split,label", *(f"x,{n},0,5,{c},{s},{p}" for n, p, s, c in ROWS)]
    (tmp_path / "metadata.csv").write_text("\n".join(lines) + "\n")
    (tmp_path / "label2idx.json").write_text(json.dumps(CLASSES))
    return tmp_path


def refusal(*arguments, **options):
    with pytest.raises(InputError) as caught:
        read_avss(*arguments, **options)
    return str(caught.value)


def test_test_clips_of_all_parts_in_csv_order(root):
    clips, classes = read_avss(root)
    assert [(clip.name, clip.part, clip.category) for clip in clips] == [
        ("c", "v1s", "violin"),
        ("d", "v2", "man"),
        ("e", "v1m", "dog_violin"),
    ]
    assert [len(clip.frames) for clip in clips] == [5, 10, 5]
    assert all(None not in clip.labels and len(clip.labels) == len(clip.frames) for clip in clips)
    assert classes.names == ("background", "dog", "violin", "man") and len(classes) == 4
    assert classes.index == CLASSES


def test_the_folder_above_will_do(root, tmp_path_factory):
    above = tmp_path_factory.mktemp("above")
    root.rename(above / "AVSS")
    assert read_avss(above) == read_avss(str(above / "AVSS"))


def test_training_clips_of_v1s_have_their_first_label_only(root):
    single, several = read_avss(root, "train")[0]
    assert single.labels[0].is_file() and single.labels[1:] == (None,) * 4
    assert [truth is None for truth in single.truths()] == [False, True, True, True, True]
    assert None not in several.labels


def test_labels_are_numbers_at_the_asked_size(root):
    clip = read_avss(root, size=None)[0][1]
    truths = list(clip.truths())
    assert [truth.shape for truth in truths] == [SIZE] * 10 and truths[0].dtype == np.int64
    assert [int(truth[0, 0]) for truth in truths] == [0, 1, 2, 3, 0, 1, 2, 3, 0, 1]
    assert not truths[1][:, 1:].any()
    official = list(read_avss(root)[0][1].truths())[1]
    assert official.shape == (224, 224) and set(np.unique(official)) == {0, 1}  # nearest: nothing in between
    assert official[:, :28].all() and not official[:, 28:].any()


def test_steps_hold_the_frame_and_its_second_of_sound(root):
    steps = list(read_avss(root)[0][1].steps())
    assert len(steps) == 10 and [step.start_s for step in steps[:2]] == [0, 1]
    for number, step in enumerate(steps):
        assert step.frame.shape == (224, 224, 3) and step.frame.dtype == np.uint8
        assert np.abs(step.frame.astype(int) - number * 20).max() <= 2  # JPEG
        np.testing.assert_allclose(step.audio, (number + 1) * 1000 / 32768)
    own = next(read_avss(root, size=None)[0][1].steps())
    assert own.frame.shape == (*SIZE, 3)


@pytest.mark.parametrize("mode", ["L", "P", "I;16"])
def test_labels_are_read_by_value(tmp_path, mode):
    truth = np.zeros(SIZE, np.uint8)
    truth[1:3, 2:5] = 2
    image = Image.fromarray(truth.astype(np.uint16) if mode == "I;16" else truth)
    if mode == "P":
        image.putpalette(class_colours(4).ravel().tolist())
    assert image.mode == mode
    image.save(tmp_path / "labels.png")
    found = load_labels(tmp_path / "labels.png", 4)
    np.testing.assert_array_equal(found, truth)


def test_a_value_that_is_no_class_is_background(tmp_path):
    save(tmp_path / "labels.png", np.array([[0, 3, 4, 255]], np.uint8))
    assert load_labels(tmp_path / "labels.png", 4).tolist() == [[0, 3, 0, 0]]
    assert load_labels(tmp_path / "labels.png", 5).tolist() == [[0, 3, 4, 0]]


def test_colours_are_refused_as_labels(tmp_path):
    path = tmp_path / "0.png"
    save(path, np.zeros((2, 2, 3), np.uint8))
    with pytest.raises(InputError) as caught:
        load_labels(path, 71)
    assert str(caught.value) == (
        f"labels must be stored as class numbers (grey or palette), {path} has mode RGB; "
        "take the files of labels_semantic, not labels_rgb."
    )


def test_colours_are_the_official_palette(reference):
    with np.load(reference / "avsbench_metric_golden.npz", allow_pickle=False) as golden:
        np.testing.assert_array_equal(class_colours(71), golden["avss_palette_71x3"])


def test_no_two_classes_have_one_colour():
    assert len(np.unique(class_colours(256), axis=0)) == 256
    np.testing.assert_array_equal(AVSSClasses(names=("background", "dog")).colours, [[0, 0, 0], [128, 0, 0]])


def test_the_fingerprint_follows_files_and_size(root):
    one, two, _ = read_avss(root)[0]
    before = one.fingerprint()
    assert before == read_avss(root)[0][0].fingerprint() != two.fingerprint()
    assert replace(one, size=None).fingerprint() != before
    save(one.labels[0], np.zeros((3, 3), np.uint8))
    assert one.fingerprint() != before


def test_columns_go_by_header_then_by_position(root):
    wanted = read_avss(root)
    rows = [line.split(",") for line in (root / "metadata.csv").read_text().split()]
    (root / "metadata.csv").write_text("".join(f"{r[6]},{r[4]},{r[1]},{r[5]}\n" for r in rows))
    assert read_avss(root) == wanted
    (root / "metadata.csv").write_text("\ufeffA,B,C,D,E,F,G\n" + "".join(",".join(r) + "\n" for r in rows[1:]) + "\n")
    assert read_avss(root) == wanted


def test_missing_files_are_listed_in_one_message(root):
    for number in range(4):
        (root / "v2" / "d" / "frames" / f"{number}.jpg").unlink()
    (root / "v2" / "d" / "labels_semantic" / "9.png").unlink()
    (root / "v1m" / "e" / "audio.wav").unlink()
    names = ", ".join([*(f"v2/d/frames/{number}.jpg" for number in range(4)), "v2/d/labels_semantic/9.png"])
    assert refusal(root) == (
        f"AVSS test needs 43 files in {root}, 6 are missing: {names}, ...; unpack the data set again."
    )
    assert len(read_avss(root, "train")[0]) == 2  # only the asked split is looked at


def test_refusals(root, tmp_path_factory):
    assert refusal(root, "dev") == "split must be one of train, val, test, got 'dev'; results are reported on test."
    assert refusal(root, size=0) == (
        "size must be at least 1 pixel, or None for the files' own, got 0; 224 is official."
    )
    table, numbers = root / "metadata.csv", root / "label2idx.json"
    assert refusal(root, "val") == f"split val must have at least 1 clip, {table} lists 0; check its split column."
    empty = tmp_path_factory.mktemp("empty")
    assert refusal(empty) == (
        f"AVSS needs metadata.csv, not found in {empty} or {empty / 'AVSS'}; give the folder that holds metadata.csv, "
        "label2idx.json, v1s, v1m, v2 (the authors release the data on request)."
    )
    whole = table.read_text()
    table.write_text(whole.replace(",v2\n", ",v3\n"))
    assert refusal(root) == "metadata.csv must have a label of v1s, v1m, v2 for every clip, d has 'v3'; correct it."
    table.write_text("uid,a_obj\nc,dog\n")
    assert refusal(root) == (
        "metadata.csv must have a column 'split', its header is ['uid', 'a_obj']; name the column or put it at place 6."
    )
    table.write_text("uid,a_obj,split,label\nc,dog\n")
    assert refusal(root) == "metadata.csv must have 4 columns in every row, line 2 has 2; repair the line."
    table.write_bytes(b"\xff\xfe\x00")
    assert refusal(root).startswith(f"{table} must be a csv file, it cannot be read ('utf-8' codec")
    table.write_text(whole)
    for text in ("[]", "{}", '{"background": 0, "dog": 2}', '{"background": 0, "dog": "1"}', '{"a": 0, "b": 0}'):
        numbers.write_text(text)
        assert refusal(root) == (
            f"{numbers} must give each class its own number, from 0 (background) without a gap, and does not; "
            "copy it again."
        )
    numbers.write_text("{")
    assert refusal(root).startswith(f"{numbers} must be a JSON file, it cannot be read (Expecting property name")
    numbers.unlink()
    assert refusal(root) == f"AVSS needs {numbers}, which does not exist; unpack the data set again."


def test_a_broken_picture_is_named(root):
    clip = read_avss(root)[0][0]
    clip.frames[1].write_bytes(b"broken")
    steps = clip.steps()
    next(steps)
    with pytest.raises(InputError, match=r"^frames and masks must be images, .*c/frames/1\.jpg cannot be read \(.*"):
        next(steps)


def test_every_class_of_avss_has_words():
    assert len(AVSS_WORDS) == 70 and list(AVSS_WORDS) == sorted(AVSS_WORDS)
    for name, tags in AVSS_WORDS.items():
        assert tags and len(set(tags)) == len(tags), name
    own = [tags for name, tags in AVSS_WORDS.items() if name in ("violin", "dog", "piano", "emergency-car")]
    assert not any(set(first) & set(second) for first in own for second in own if first is not second)


def test_the_words_are_asts_tags():
    try:
        source = local_source(find_entry("ast").name)
    except InputError:
        pytest.skip("AST's weights are not here")
    from transformers import AutoConfig

    known = set(AutoConfig.from_pretrained(source, local_files_only=True).id2label.values())
    assert {tag for tags in AVSS_WORDS.values() for tag in tags} <= known
