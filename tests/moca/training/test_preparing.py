"""What is prepared in one folder for several runs: found again, never mixed up, also by runs at once."""

import threading
from dataclasses import replace

import numpy as np
import pytest

from moca.mining import MiningConfig
from moca.mining import search as searching
from moca.training.config import LabelConfig, TrainConfig
from moca.training.losses.preparing import Prepared, prepare
from moca.training.losses.triplets import ImageFeatures
from moca.training.stored import array_digest, content_name

CONFIG = TrainConfig(
    batch=6, matching=0.7, mining=MiningConfig(source="audio", neighbours=3),
    labels=LabelConfig(alike=3, unlike=4, refine=False),
)  # fmt: skip
MATCHING = replace(CONFIG, distillation=0.0, readout="cosine")
OTHER = replace(MATCHING, mining=replace(MATCHING.mining, neighbours=5))
IMAGES = replace(MATCHING, mining=replace(MATCHING.mining, source="image"))


@pytest.fixture
def ready(encoder, corpus, tmp_path):
    """ready(config) -> what is prepared for it, in one folder unless another is given."""

    def run(config=CONFIG, *, folder=tmp_path / "prepared", images=None) -> Prepared:
        return prepare(encoder, corpus, config, folder, images=images)

    return run


def every(step: int) -> ImageFeatures:
    """Image features that are every so many numbers of a picture."""

    def features(frames: np.ndarray) -> np.ndarray:
        return frames.reshape(len(frames), -1)[:, ::step].astype(float)

    return ImageFeatures(features=features, fingerprint=f"every {step}")


@pytest.fixture
def searches(monkeypatch):
    """Rows of every search for neighbours that is made."""
    calls, nearest = [], searching.NeighbourSearch.nearest
    monkeypatch.setattr(
        searching.NeighbourSearch, "nearest", lambda self, rows: calls.append(len(rows)) or nearest(self, rows)
    )
    return calls


def test_two_mining_settings_alternate_in_one_folder_and_nothing_is_made_twice(ready, tmp_path, searches):
    alone = [ready(MATCHING, folder=tmp_path / "one"), ready(OTHER, folder=tmp_path / "other")]
    searches.clear()
    for _ in range(3):
        for config, expected in zip((MATCHING, OTHER), alone, strict=True):
            np.testing.assert_array_equal(ready(config).mined.table.indices, expected.mined.table.indices)
    assert searches == [25, 25]


def test_the_same_weights_read_in_another_way_have_labels_of_their_own(ready, encoder, tmp_path):
    labels = []
    for reading in ("token", "value"):
        encoder.config = replace(encoder.config, reading=reading)
        expected = ready(folder=tmp_path / reading).labels.targets
        np.testing.assert_array_equal(ready().labels.targets, expected)
        labels.append(expected)
    assert not np.array_equal(*labels)


def test_the_same_weights_that_hear_in_another_way_have_sounds_of_their_own(ready, encoder, tmp_path):
    mel, similarities = encoder.config.log_mel, []
    for mean in (mel.mean, mel.mean + 3):
        encoder.config = replace(encoder.config, log_mel=replace(mel, mean=mean))
        expected = ready(MATCHING, folder=tmp_path / str(mean)).mined.table.similarities
        np.testing.assert_array_equal(ready(MATCHING).mined.table.similarities, expected)
        similarities.append(expected)
    assert not np.array_equal(*similarities)


def test_other_image_features_are_other_files(ready, tmp_path):
    tables = []
    for step in (97, 89):
        expected = ready(IMAGES, folder=tmp_path / str(step), images=every(step)).mined.table.indices
        np.testing.assert_array_equal(ready(IMAGES, images=every(step)).mined.table.indices, expected)
        tables.append(expected)
    assert not np.array_equal(*tables)


@pytest.mark.parametrize("name", ["sounds", "images"])
def test_a_damaged_array_is_made_again(ready, tmp_path, name):
    expected = np.array(ready(IMAGES, images=every(97)).mined.table.indices)
    (path,) = (tmp_path / "prepared").glob(f"{name}*.npy")
    whole = path.read_bytes()
    path.write_bytes(whole[:150])
    np.testing.assert_array_equal(ready(IMAGES, images=every(97)).mined.table.indices, expected)
    assert path.read_bytes() == whole


@pytest.mark.parametrize("configs", [(CONFIG, CONFIG), (CONFIG, OTHER), (MATCHING, OTHER)])
def test_runs_at_once_get_what_they_get_alone(ready, tmp_path, configs):
    alone = [ready(config, folder=tmp_path / f"alone-{index}") for index, config in enumerate(configs)]
    results, start = {}, threading.Barrier(2, timeout=30)

    def run(index: int) -> None:
        start.wait()
        results[index] = ready(configs[index])

    threads = [threading.Thread(target=run, args=(index,)) for index in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for index, expected in enumerate(alone):
        np.testing.assert_array_equal(results[index].mined.table.indices, expected.mined.table.indices)
        if expected.labels is not None:
            np.testing.assert_array_equal(results[index].labels.targets, expected.labels.targets)
    assert not list((tmp_path / "prepared").rglob(".*"))


def test_names_change_with_everything_that_content_rests_on():
    names = {content_name("a", x=1), content_name("a", x=2), content_name("b", x=1), content_name("a", x=1, y=None)}
    assert len(names) == 4 and content_name("a", y=2, x={"z": 1}) == content_name("a", x={"z": 1}, y=2)
    whole = np.arange(6)
    digests = {array_digest(array) for array in (whole, whole.reshape(2, 3), whole.astype(np.int32), whole[::-1])}
    assert len(digests) == 4 and array_digest(np.arange(12)[::2] // 2) == array_digest(whole)
