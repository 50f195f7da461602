"""COCO run-length strings against pycocotools and a slow implementation of the format, and worked out by hand."""

import json

import numpy as np
import pytest
from pycocotools import mask as cocomask

from moca.core import rle
from moca.errors import InputError


def slow_counts(mask):
    """Runs of the column-major mask, background first, one pixel at a time."""
    counts, value, run = [], False, 0
    for column in range(mask.shape[1]):
        for row in range(mask.shape[0]):
            if bool(mask[row, column]) != value:
                counts.append(run)
                value, run = not value, 0
            run += 1
    return [*counts, run]


def slow_string(counts):
    """The loop of cocoapi's rleToString."""
    text = ""
    for i, count in enumerate(counts):
        x = count - (counts[i - 2] if i > 2 else 0)
        more = True
        while more:
            c = x & 0x1F
            x >>= 5
            more = x != -1 if c & 0x10 else x != 0
            text += chr((c | 0x20 if more else c) + 48)
    return text


def random_mask(seed, height, width, share=0.5):
    return np.random.default_rng(seed).random((height, width)) < share


def blob(height, width):
    rows, columns = np.mgrid[:height, :width]
    return (rows - height / 2) ** 2 + (columns - width / 3) ** 2 < (min(height, width) / 3) ** 2


SIZES = [(1, 1), (1, 33), (33, 1), (2, 3), (31, 32), (33, 64), (127, 200)]
MASKS = {
    "noise": random_mask(0, 37, 53),
    "rare": random_mask(1, 61, 40, 0.01),
    "row": random_mask(2, 1, 77),
    "column": random_mask(3, 77, 1),
    "blob": blob(240, 426),
    "empty": np.zeros((9, 7), bool),
    "full": np.ones((9, 7), bool),
    "one pixel set": np.ones((1, 1), bool),
    "one pixel clear": np.zeros((1, 1), bool),
}


@pytest.mark.parametrize("name", MASKS)
def test_matches_the_slow_implementation_and_comes_back(name):
    mask = MASKS[name]
    code = rle.encode(mask)
    assert code == {"size": list(mask.shape), "counts": slow_string(slow_counts(mask))}
    back = rle.decode(code)
    assert back.dtype == np.bool_ and back.flags["C_CONTIGUOUS"]
    assert np.array_equal(back, mask)


@pytest.mark.parametrize(
    ("mask", "counts"),
    [
        # empty 3 x 5: one run of 15; 15 has bit 0 only in five bits -> chr(48 + 15)
        (np.zeros((3, 5), bool), "?"),
        # empty 4 x 4: 16 needs a second character, because bit 16 alone would mean minus 16
        (np.zeros((4, 4), bool), "`0"),
        # full 3 x 5: no background, then 15
        (np.ones((3, 5), bool), "0?"),
        # columns 01 00 10: runs 1 1 2 1 1; the fourth stores 1 - 1 = 0 and the fifth 1 - 2 = -1 -> 31 -> 'O'
        (np.array([[0, 0, 1], [1, 0, 0]], bool), "1120O"),
        # 1 x 40, pixel 33 set: runs 33 1 6; 33 = 1 + 32 * 1 -> chr(48 + 1 + 32) chr(48 + 1)
        (np.arange(40)[None] == 33, "Q116"),
    ],
)
def test_strings_worked_out_by_hand(mask, counts):
    assert rle.encode(mask)["counts"] == counts
    assert np.array_equal(rle.decode({"size": mask.shape, "counts": counts.encode()}), mask)


def test_order_is_column_major():
    mask = np.zeros((3, 4), bool)
    mask[1, 2] = True
    assert slow_counts(mask) == [7, 1, 4]
    assert rle.encode(mask)["counts"] == "714"
    assert rle.encode(mask.T.copy())["counts"] != "714"


def test_long_runs_and_falling_counts():
    mask = np.zeros((2000, 3000), bool)
    mask[:, 1500:] = True
    mask[0, 2999] = False
    code = rle.encode(mask)
    assert code["counts"] == slow_string([3_000_000, 2_998_000, 1, 1999])
    assert np.array_equal(rle.decode(code), mask)


def test_survives_json():
    code = json.loads(json.dumps(rle.encode(MASKS["noise"])))
    assert np.array_equal(rle.decode(code), MASKS["noise"])


def test_non_contiguous_masks():
    mask = random_mask(5, 40, 30)
    assert rle.encode(mask[::2, ::3]) == rle.encode(mask[::2, ::3].copy())


@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (0, 0)])
def test_refuses_masks_without_pixels(shape):
    with pytest.raises(InputError) as error:
        rle.encode(np.zeros(shape, bool))
    assert str(error.value) == (
        f"a mask needs sides of at least 1 and at most 2147483647 pixels, got {shape[0]} x {shape[1]}; "
        "check the frame size."
    )


def test_refuses_other_dtypes():
    with pytest.raises(InputError) as error:
        rle.encode(np.zeros((2, 3), np.uint8))
    assert str(error.value) == "mask must be (H, W) bool, got shape (2, 3) uint8; compare it first (mask > 0)."


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (
            {"size": [2, 2], "counts": "5"},
            "counts must be non-negative and add up to 2 x 2 = 4 pixels, got 5; "
            "the string belongs to another size or is damaged.",
        ),
        (
            {"size": [2, 2], "counts": "O5"},
            "counts must be non-negative and add up to 2 x 2 = 4 pixels, got 4; "
            "the string belongs to another size or is damaged.",
        ),
        (
            {"size": [2, 2], "counts": "P"},
            "counts must be a complete string of characters '0' to 'o' (COCO's compressed form), got 'P'; "
            "the file is damaged or in another format.",
        ),
        (
            {"size": [2, 2], "counts": "4 é"},
            "counts must be a complete string of characters '0' to 'o' (COCO's compressed form), "
            "got '4 \\\\xc3\\\\xa9'; the file is damaged or in another format.",
        ),
        (
            {"size": [2, 2], "counts": ""},
            "counts must be a complete string of characters '0' to 'o' (COCO's compressed form), got ''; "
            "the file is damaged or in another format.",
        ),
        (
            {"size": [2, 2], "counts": "P" * 20 + "0"},
            "a number in counts may take at most 7 characters, got 21; the file is damaged.",
        ),
        (
            {"size": [2, 2], "counts": [4]},
            "counts must be a compressed COCO string, got list; compress it first (pycocotools: frPyObjects).",
        ),
        (
            {"size": [2**20, 2**20], "counts": "4"},
            "a mask needs sides of at least 1 and at most 2147483647 pixels, got 1048576 x 1048576; "
            "check the frame size.",
        ),
    ],
)
def test_refuses_damaged_strings(code, message):
    with pytest.raises(InputError) as error:
        rle.decode(code)
    assert str(error.value) == message


def blobs(seed, height, width):
    """A mask of smooth random regions, as segmentation makes them."""
    coarse = np.random.default_rng(seed).random((max(2, height // 9), max(2, width // 9))).astype(np.float32)
    rows = np.linspace(0, coarse.shape[0] - 1, height).round().astype(int)
    columns = np.linspace(0, coarse.shape[1] - 1, width).round().astype(int)
    return coarse[rows][:, columns] > 0.5


COMPARED = {
    **MASKS,
    "blobs": blobs(0, 480, 854),
    "tall blobs": blobs(1, 1000, 3),
    "checkers": (np.indices((64, 65)).sum(0) % 2).astype(bool),
    "last pixel": np.arange(4000).reshape(50, 80) == 3999,
    "first pixel": np.arange(4000).reshape(50, 80) == 0,
    "one clear pixel": np.arange(4000).reshape(50, 80) != 1717,
    "long runs": np.arange(6_000_000).reshape(3000, 2000) % 2_500_000 > 40,
    **{f"noise {share:g} {size}": random_mask(9, *size, share) for share in (0.002, 0.3, 0.98) for size in SIZES},
}


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools with NumPy 2
@pytest.mark.parametrize("name", COMPARED)
def test_is_what_pycocotools_writes_and_reads(name):
    mask = COMPARED[name]
    theirs = cocomask.encode(np.asfortranarray(mask, np.uint8))
    ours = rle.encode(mask)
    assert ours == {"size": list(theirs["size"]), "counts": theirs["counts"].decode("ascii")}
    assert np.array_equal(cocomask.decode({**ours, "counts": ours["counts"].encode("ascii")}), mask)
    assert np.array_equal(rle.decode(theirs), mask) and np.array_equal(rle.decode(ours), mask)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools with NumPy 2
def test_what_pycocotools_computes_on_strings_can_be_read():
    first, second = COMPARED["blobs"], np.roll(COMPARED["blobs"], 77, axis=1)
    union = cocomask.merge([cocomask.encode(np.asfortranarray(mask, np.uint8)) for mask in (first, second)])
    assert np.array_equal(rle.decode(union), first | second)
    assert int(cocomask.area(union)) == int(rle.decode(union).sum())
