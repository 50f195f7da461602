import json

import numpy as np
import pytest

from moca.errors import InputError
from moca.mining import MiningConfig, build_table, neighbour_table, read_table, table_fingerprint
from moca.mining import search as searching
from moca.mining import table as tables

CONFIG = MiningConfig(neighbours=4)
LISTS = MiningConfig(neighbours=4, index="ivf")


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Tables of 50 rows in blocks of 16, and lists few enough that they lose neighbours."""
    monkeypatch.setattr(tables, "SEARCH_ROWS", 16)
    monkeypatch.setattr(searching, "PROBES", 1)
    monkeypatch.setattr(searching, "list_count", lambda count: 5)


@pytest.fixture
def features():
    return np.random.default_rng(0).normal(size=(50, 6)).astype(np.float32)


@pytest.fixture
def searched(monkeypatch):
    """First rows of the blocks that were searched."""
    seen = []
    inner = searching.NeighbourSearch.nearest
    monkeypatch.setattr(
        searching.NeighbourSearch, "nearest", lambda self, rows: seen.append(int(rows[0])) or inner(self, rows)
    )
    return seen


def stopping_after(rows):
    def progress(what, done, total):
        if done >= rows:
            raise KeyboardInterrupt

    return progress


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_table_on_disk_is_the_table(features, tmp_path):
    told = []
    table = build_table(features, CONFIG, tmp_path / "new" / "run", progress=lambda *report: told.append(report))
    np.testing.assert_array_equal(table.indices, neighbour_table(features, 4))
    assert (table.indices.dtype, table.similarities.dtype) == (np.int64, np.float32)
    assert told == [("neighbours", done, 50) for done in (16, 32, 48, 50)]
    assert names(tmp_path / "new" / "run") == ["indices.npy", "similarities.npy", "table.json"]
    again = read_table(tmp_path / "new" / "run")
    assert isinstance(again.indices, np.memmap) and again.fingerprint == table.fingerprint
    np.testing.assert_array_equal(again.similarities, table.similarities)


def test_videos_reach_the_search(features, tmp_path):
    videos = np.arange(50) // 5
    config = MiningConfig(neighbours=4, exclude_same_video=True)
    table = build_table(features, config, tmp_path, videos=videos)
    np.testing.assert_array_equal(table.indices, neighbour_table(features, 4, videos=videos))
    assert not np.array_equal(table.indices, neighbour_table(features, 4))


@pytest.mark.parametrize("config", [CONFIG, LISTS], ids=["flat", "ivf"])
def test_a_stopped_build_goes_on_and_ends_the_same(features, tmp_path, searched, monkeypatch, config):
    whole = build_table(features, config, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        build_table(features, config, tmp_path / "stopped", progress=stopping_after(32))
    with pytest.raises(InputError, match="must hold a finished neighbour table"):
        read_table(tmp_path / "stopped")
    searched.clear()
    monkeypatch.setattr(searching, "train_lists", lambda features: pytest.fail("trained twice"))
    told = []
    resumed = build_table(features, config, tmp_path / "stopped", progress=lambda *report: told.append(report))
    assert searched == [32, 48] and told == [("neighbours", done, 50) for done in (32, 48, 50)]
    np.testing.assert_array_equal(resumed.indices, whole.indices)
    np.testing.assert_array_equal(resumed.similarities, whole.similarities)
    assert resumed.fingerprint == whole.fingerprint
    assert names(tmp_path / "stopped") == names(tmp_path / "whole")


def test_lists_and_the_exact_search_differ_here(features, tmp_path):
    flat, lists = (build_table(features, config, tmp_path / config.index) for config in (CONFIG, LISTS))
    assert not np.array_equal(flat.indices, lists.indices) and flat.fingerprint != lists.fingerprint


def test_a_damaged_block_is_made_again(features, tmp_path, searched):
    with pytest.raises(KeyboardInterrupt):
        build_table(features, CONFIG, tmp_path, progress=stopping_after(32))
    part = next(tmp_path.glob("parts-*/rows-000000000.npz"))
    part.write_bytes(part.read_bytes()[:100])
    searched.clear()
    table = build_table(features, CONFIG, tmp_path)
    assert searched == [0, 32, 48]
    np.testing.assert_array_equal(table.indices, neighbour_table(features, 4))


def test_a_stop_while_joining_loses_nothing_and_mixes_nothing(features, tmp_path, searched, monkeypatch):
    build_table(features[::-1], CONFIG, tmp_path)
    with monkeypatch.context() as broken:
        broken.setattr(tables, "write_json_whole", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            build_table(features, CONFIG, tmp_path)
    with pytest.raises(InputError, match="must hold a finished neighbour table"):
        read_table(tmp_path)  # half of it would be the old one's
    searched.clear()
    table = build_table(features, CONFIG, tmp_path)
    assert searched == []
    np.testing.assert_array_equal(table.indices, neighbour_table(features, 4))


def test_a_finished_table_is_read_and_not_built(features, tmp_path, searched):
    first = build_table(features, CONFIG, tmp_path)
    searched.clear()
    again = build_table(features.astype(np.float64), CONFIG, tmp_path, progress=lambda *_: pytest.fail("built"))
    assert searched == [] and again.fingerprint == first.fingerprint


@pytest.mark.parametrize("damage", ["record", "array", "format"])
def test_a_damaged_table_is_built_again(features, tmp_path, searched, damage):
    build_table(features, CONFIG, tmp_path)
    record = json.loads((tmp_path / "table.json").read_text())
    if damage == "record":
        (tmp_path / "table.json").write_text("[1")
    elif damage == "array":
        np.save(tmp_path / "indices.npy", np.zeros((3, 4), np.int64))
    else:
        (tmp_path / "table.json").write_text(json.dumps(record | {"format": 99}))
    with pytest.raises(InputError) as caught:
        read_table(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path} must hold a finished neighbour table, got none or a damaged one; build it again."
    )
    searched.clear()
    assert build_table(features, CONFIG, tmp_path).fingerprint == record["fingerprint"]
    assert searched == [0, 16, 32, 48]
    assert read_table(tmp_path).indices.shape == (50, 4)


def test_another_fingerprint_replaces_the_table_when_it_is_complete(features, tmp_path):
    old = build_table(features, CONFIG, tmp_path)
    changed = features.copy()
    changed[3, 2] += 1
    with pytest.raises(KeyboardInterrupt):
        build_table(changed, CONFIG, tmp_path, progress=stopping_after(16))
    assert read_table(tmp_path).fingerprint == old.fingerprint
    new = build_table(changed, CONFIG, tmp_path)
    assert new.fingerprint != old.fingerprint and read_table(tmp_path).fingerprint == new.fingerprint
    np.testing.assert_array_equal(new.indices, neighbour_table(changed, 4))
    assert names(tmp_path) == ["indices.npy", "similarities.npy", "table.json"]


def test_fingerprint_covers_what_the_table_rests_on(features):
    videos = np.arange(50) // 5
    base = table_fingerprint(features, CONFIG)
    changed = features.copy()
    changed[49, 5] = np.nextafter(changed[49, 5], np.float32(9))
    apart = MiningConfig(neighbours=4, exclude_same_video=True)
    different = [
        table_fingerprint(changed, CONFIG),
        table_fingerprint(features[::-1], CONFIG),
        table_fingerprint(features.reshape(60, 5), CONFIG),
        table_fingerprint(features, MiningConfig(neighbours=5)),
        table_fingerprint(features, LISTS),
        table_fingerprint(features, apart, videos),
        table_fingerprint(features, apart, videos[::-1]),
    ]
    assert len({base, *different}) == 8
    same = [
        table_fingerprint(features.astype(np.float64), CONFIG),
        table_fingerprint(np.asfortranarray(features), CONFIG),
        table_fingerprint(features, CONFIG, videos),
        table_fingerprint(features, MiningConfig(neighbours=4, index="flat")),
        table_fingerprint(features, MiningConfig(neighbours=4, hard_negatives=True)),
        table_fingerprint(features, MiningConfig(neighbours=4, source="audio")),
    ]
    assert set(same) == {base} and len(base) == 16


def test_refusals_write_nothing(features, tmp_path):
    folder = tmp_path / "run"
    with pytest.raises(InputError) as caught:
        build_table(features, MiningConfig(exclude_same_video=True), folder)
    assert str(caught.value) == (
        "exclude_same_video needs the video of every frame, got videos None; give their numbers or set "
        "exclude_same_video to false."
    )
    with pytest.raises(InputError, match=r"^neighbours must be between 1 and 49 for 50 frames"):
        build_table(features, MiningConfig(neighbours=50), folder)
    with pytest.raises(InputError, match=r"^features must be finite, row 4 is not"):
        build_table(np.where(np.arange(50)[:, None] == 4, np.inf, features), CONFIG, folder)
    assert not folder.exists()
    folder.write_text("mine")
    with pytest.raises(InputError) as caught:
        build_table(features, CONFIG, folder)
    assert str(caught.value) == f"the neighbour table needs a folder, {folder} is a file; choose another place."
    assert folder.read_text() == "mine"
