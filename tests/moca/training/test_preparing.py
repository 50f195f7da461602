"""What is prepared in one folder for several runs: found again, never mixed up, also by runs at once."""

import threading
from dataclasses import replace

import numpy as np
import pytest

from moca.mining import MiningConfig
from moca.mining import search as searching
from moca.training.config import LabelConfig, TrainConfig
from moca.training.losses.objective import Objective

CONFIG = TrainConfig(
    batch=6, matching=0.7, mining=MiningConfig(source="audio", neighbours=3),
    labels=LabelConfig(alike=3, unlike=4, refine=False),
)  # fmt: skip
MATCHING = replace(CONFIG, distillation=0.0, readout="cosine")
OTHER = replace(MATCHING, mining=replace(MATCHING.mining, neighbours=5))
IMAGES = replace(MATCHING, mining=replace(MATCHING.mining, source="image"))


@pytest.fixture
def ready(encoder, corpus, attach, tmp_path):
    def run(config=CONFIG, *, encoder=encoder, data=corpus, folder=tmp_path / "prepared", **options):
        return Objective(encoder, attach(None), data, config, folder, **options)

    return run


def table_of(p):
    return p.table


def sounds_of(p):
    return p.sounds


def mined_of(p):
    return p.table.indices


@pytest.fixture
def searches(monkeypatch):
    """Rows of every search for neighbours that is made."""
    calls, nearest = [], searching.NeighbourSearch.nearest
    monkeypatch.setattr(
        searching.NeighbourSearch, "nearest", lambda self, rows: calls.append(len(rows)) or nearest(self, rows)
    )
    return calls


def test_two_mining_settings_alternate_in_one_folder_and_nothing_is_made_twice(ready, tmp_path, searches):
    alone = [np.array(mined_of(ready(config, folder=tmp_path / str(place)))) for place, config in enumerate([MATCHING, OTHER])]
    searches.clear()
    for _ in range(3):
        for config, expected in zip((MATCHING, OTHER), alone, strict=True):
            np.testing.assert_array_equal(mined_of(ready(config)), expected)
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
    mel = encoder.config.log_mel
    for mean in (mel.mean, mel.mean + 3):
        encoder.config = replace(encoder.config, log_mel=replace(mel, mean=mean))
        expected = sounds_of(ready(MATCHING, folder=tmp_path / str(mean)))
        np.testing.assert_array_equal(sounds_of(ready(MATCHING)), expected)


def test_other_image_features_are_other_files(ready):
    tables = []
    for step in (97, 89):
        tables.append(mined_of(ready(IMAGES, image_features=lambda frames: frames.reshape(len(frames), -1)[:, ::step].astype(float))))
    assert not np.array_equal(*tables)


@pytest.mark.parametrize("name", ["sounds", "images"])
def test_a_damaged_array_is_made_again(ready, tmp_path, name):
    features = lambda frames: frames.reshape(len(frames), -1)[:, ::97].astype(float)  # noqa: E731
    expected = np.array(mined_of(ready(IMAGES, image_features=features)))
    (path,) = (tmp_path / "prepared").glob(f"{name}*.npy")
    path.write_bytes(path.read_bytes()[:150])
    np.testing.assert_array_equal(mined_of(ready(IMAGES, image_features=features)), expected)


@pytest.mark.parametrize("configs", [(CONFIG, CONFIG), (CONFIG, OTHER), (MATCHING, OTHER)])
def test_runs_at_once_get_what_they_get_alone(ready, tmp_path, configs):
    alone = [ready(config, folder=tmp_path / f"alone-{place}") for place, config in enumerate(configs)]
    results, start = {}, threading.Barrier(2)

    def run(place):
        start.wait()
        try:
            results[place] = ready(configs[place])
        except Exception as error:
            results[place] = error

    for attempt in range(3):
        threads = [threading.Thread(target=run, args=(place,)) for place in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for place, expected in enumerate(alone):
            assert not isinstance(results[place], Exception), results[place]
            np.testing.assert_array_equal(mined_of(results[place]), mined_of(expected))
        import shutil
        shutil.rmtree(tmp_path / "prepared")
