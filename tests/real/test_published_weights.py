"""What every published checkpoint that is here must show: known answers on ImageBind's example files.

    make real                      # or python -m pytest -m real -rs tests/real

A model that is not here is skipped, with the command that fetches it. docs/real-weights.md says what to report.
"""

from collections import Counter

import numpy as np
import pytest

from moca.cli.crosscheck import crosschecks
from moca.foundation.catalogue import CATALOGUE, SEGMENTING, load_role
from moca.foundation.manifest import read_manifest
from moca.foundation.upstream import examples as published

pytestmark = pytest.mark.real
NAMES = [entry.name for entry in read_manifest().values()]


def names_of(role: str) -> list[str]:
    return [entry.name for entry in read_manifest().values() if entry.role == role]


def squared(picture: np.ndarray, side: int = 448) -> np.ndarray:
    from moca.core.frames import resized

    short = min(picture.shape[:2])
    top, left = (picture.shape[0] - short) // 2, (picture.shape[1] - short) // 2
    return resized(picture[top : top + short, left : left + short], side, side)


@pytest.mark.parametrize("name", NAMES)
def test_a_checkpoint_loads_as_its_role_and_has_its_size(fetched, name):
    entry = fetched(name)
    loaded = load_role(entry.role, name)
    module = getattr(loaded, "model", loaded)
    count = sum(parameter.numel() for parameter in module.parameters())
    print(f"\n{name}: {count:,} parameters")
    assert all(parameter.isfinite().all() for parameter in module.parameters())
    if entry.parameters:
        assert count == pytest.approx(entry.parameters, rel=0.02)


def test_imagebind_gives_the_table_of_its_readme(fetched, examples):
    fetched("imagebind-huge")
    model = load_role("encoder", "imagebind-huge")
    table = published.agreement_table(*published.example_embeddings(model, examples))
    print(f"\nours {published.table_text(table)}, README {published.table_text(published.PUBLISHED)}")
    allowed = published.ALLOWED if model.rounded_from is None else 1e-2
    np.testing.assert_allclose(table, published.PUBLISHED, atol=allowed)


def test_the_same_weights_through_the_originals(fetched):
    """At least one model and its original package must be here."""
    checks = list(crosschecks(None))
    print("", *checks, sep="\n")
    if all(check.left_out for check in checks):
        pytest.skip("no fetched model has its original package installed: " + "; ".join({c.said for c in checks}))
    assert all(check.good for check in checks)


@pytest.mark.parametrize("name", names_of("images"))
def test_dino_finds_the_same_picture_again(fetched, pictures, name):
    """A mirrored and cut picture is nearest to the one it was made of."""
    fetched(name)
    dino = load_role("images", name)
    whole = [squared(picture) for picture in pictures.values()]
    changed = [picture[40:, 20:-30][:, ::-1] for picture in whole]
    first, second = (dino.features(frames, token="class") for frames in (whole, changed))
    cosines = (first / np.linalg.norm(first, axis=1)[:, None]) @ (second / np.linalg.norm(second, axis=1)[:, None]).T
    print(f"\n{name}: {cosines.round(2).tolist()}")
    assert cosines.argmax(1).tolist() == [0, 1, 2] and cosines.diagonal().min() > 0.6


@pytest.mark.parametrize("name", names_of("masks"))
def test_sam_masks_what_its_box_holds(fetched, pictures, name):
    """Of a box around the middle of the dog's picture: a stable mask within the box that SAM itself believes."""
    fetched(name)
    sam, frame = load_role("masks", name), squared(pictures["dog"])
    box = np.array([[60, 20, 400, 440]], np.float32)
    found = sam.from_boxes(sam.encode([frame])[0], box)
    mask = found.masks[0]
    inside = mask[20:440, 60:400].sum() / max(1, mask.sum())
    print(f"\n{name}: expected IoU {found.scores[0]:.3f}, stability {found.stability[0]:.3f}, inside {inside:.3f}")
    assert found.scores[0] > 0.8 and found.stability[0] > 0.85 and inside > 0.95 and 0.05 < mask.mean() < 0.8


@pytest.mark.parametrize("name", names_of("objects"))
def test_owlv2_finds_one_large_object(fetched, pictures, name):
    fetched(name)
    detector = load_role("objects", name)
    for what, picture in pictures.items():
        frame = squared(picture)
        boxes = detector.detect([frame], threshold=0.05, limit=10)[0]
        sides = np.clip(boxes.xyxy[:, 2:] - boxes.xyxy[:, :2], 0, None) / 448
        best, areas = boxes.scores[:3].round(2).tolist(), sides.prod(1)[:3].round(2).tolist()
        print(f"\n{name}, {what}: scores {best}, areas {areas}")
        assert len(boxes) and max(areas) > 0.1


@pytest.mark.parametrize("name", names_of("words"))
def test_grounding_dino_finds_what_is_named_and_not_what_is_not_there(fetched, pictures, name):
    fetched(name)
    detector = load_role("words", name)
    for what in ("dog", "car", "bird"):
        frame = squared(pictures[what])
        found, absent = (
            detector.detect([frame], [[word]], box_threshold=0.05, text_threshold=0.05)[0].scores.max(initial=0.0)
            for word in (what, "guitar")
        )
        print(f"\n{name}, {what}: {found:.2f}, guitar {absent:.2f}")
        assert found > 0.35 and found > absent


@pytest.mark.parametrize("name", names_of("tags"))
def test_ast_hears_what_it_is(fetched, sounds, name):
    fetched(name)
    tagger = load_role("tags", name)
    wanted = {"dog": ("dog", "bark", "animal"), "car": ("car", "vehicle", "engine"), "bird": ("bird", "chirp", "tweet")}
    for what, wave in sounds.items():
        order = np.argsort(-tagger.tag([wave], sample_rate_hz=16_000)[0])[:5]
        heard = [tagger.labels[index] for index in order]
        print(f"\n{name}, {what}: {', '.join(heard)}")
        assert any(word in label.lower() for word in wanted[what] for label in heard)


@pytest.mark.parametrize("model", [name for name, row in CATALOGUE.items() if not row.bundled])
def test_the_sounding_half_of_two_pictures_is_masked(fetched, pictures, sounds, model):
    """As in AVSBench's multi-source part: two things side by side, the sound of one of them, six times; the mask lies
    mostly on its half in most, so it moves with the sound."""
    from moca.core.step import Step
    from moca.segmenter import Segmenter

    for role in SEGMENTING:
        fetched(CATALOGUE[model].entry(role))
    segmenter, outcome = Segmenter.load(model), Counter()
    for left, right in (("dog", "car"), ("car", "bird"), ("bird", "dog")):
        frame = np.concatenate([squared(pictures[left]), squared(pictures[right])], axis=1)
        for sound, half in ((left, slice(0, 448)), (right, slice(448, None))):
            wave = sounds[sound]
            step = Step(
                index=0, start_s=0.0, end_s=2.0, frame_s=0.0, frame=frame, audio=wave, sample_rate_hz=16_000
            )  # fmt: skip
            (result,) = segmenter.segment_steps([step])
            share = result.mask[:, half].sum() / max(1, result.mask.sum())
            said = result.reason or f"{share:.2f} of the mask on its half"
            print(f"\n{model}, {left} | {right}, {sound}: {said}")
            outcome["right" if share > 0.6 else "empty" if not result.mask.any() else "wrong"] += 1
    print(f"\n{model}: {dict(outcome)}")
    assert outcome["right"] >= 4


@pytest.mark.parametrize("model", [name for name, row in CATALOGUE.items() if not row.bundled])
def test_silence_masks_nothing(fetched, pictures, model):
    from moca.core.step import Step
    from moca.segmenter import Segmenter

    for role in SEGMENTING:
        fetched(CATALOGUE[model].entry(role))
    silence, frame = np.zeros(16_000, np.float32), squared(pictures["dog"])
    step = Step(
        index=0, start_s=0.0, end_s=1.0, frame_s=0.0, frame=frame, audio=silence, sample_rate_hz=16_000
    )  # fmt: skip
    (result,) = Segmenter.load(model).segment_steps([step])
    assert not result.mask.any() and result.reason
