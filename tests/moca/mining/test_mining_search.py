import numpy as np
import pytest

from moca.errors import InputError
from moca.mining import IVF_FROM, MiningConfig, mining_features, neighbour_table
from moca.mining import search as searching
from moca.mining.search import NeighbourSearch, index_kind, train_lists


@pytest.fixture
def features():
    return np.random.default_rng(0).normal(size=(60, 6))


def naive(features, neighbours, videos):
    """Every pair in a loop: the most similar rows of another video."""
    rows = []
    for row, one in enumerate(features):
        cosines = {
            other: float(one @ two / np.linalg.norm(one) / np.linalg.norm(two))
            for other, two in enumerate(features)
            if videos[other] != videos[row]
        }
        rows.append(sorted(cosines, key=lambda other: -cosines[other])[:neighbours])
    return np.array(rows)


def test_table_agrees_with_a_naive_loop(features):
    table = neighbour_table(features, 5)
    np.testing.assert_array_equal(table, naive(features, 5, np.arange(60)))
    assert table.dtype == np.int64


def test_excluding_the_same_video_agrees_with_a_naive_loop(features):
    features[1::3] = features[::3] + 0.01  # rows of one video are each other's nearest
    videos = np.arange(60) // 3
    table = neighbour_table(features, 7, videos=videos)
    np.testing.assert_array_equal(table, naive(features, 7, videos))
    plain = neighbour_table(features, 7)
    assert (videos[plain] == videos[:, None]).any() and not (videos[table] == videos[:, None]).any()


@pytest.mark.parametrize("cells", [1, 100, 2**25])
def test_rows_that_their_video_leaves_short_are_searched_exactly(features, monkeypatch, cells):
    monkeypatch.setattr(searching, "SPARE", 2)
    monkeypatch.setattr(searching, "EXACT_CELLS", cells)
    features[:20] = features[0] + 0.001 * features[:20]  # a long video whose rows fill all 6 candidates of theirs
    features[20:23] = features[20] + 0.001 * features[20:23]  # a video of 3: one candidate too few is left
    videos = np.array([0] * 20 + [1] * 3 + [*range(2, 39)])
    exact = []
    inner = NeighbourSearch._exact
    monkeypatch.setattr(NeighbourSearch, "_exact", lambda self, rows: exact.extend(rows) or inner(self, rows))
    search = NeighbourSearch(features, 4, videos=videos)
    indices, similarities = search.nearest(np.arange(60))
    np.testing.assert_array_equal(indices, naive(features, 4, videos))
    assert set(range(23)) <= set(exact) and len(exact) < 60
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    np.testing.assert_allclose(similarities, np.take_along_axis(unit @ unit.T, indices, axis=1), atol=1e-5)


def test_a_row_is_never_its_own_neighbour_even_among_duplicates():
    table = neighbour_table(np.ones((6, 3)), 5)
    for row, neighbours in enumerate(table):
        assert sorted(neighbours) == sorted(set(range(6)) - {row})


def test_scaling_rows_changes_nothing_and_turning_one_does(features):
    table = neighbour_table(features, 4)
    scaled = features * np.random.default_rng(1).uniform(0.1, 10, (60, 1))
    np.testing.assert_array_equal(neighbour_table(scaled, 4), table)
    scaled[7] = -scaled[7]
    assert not np.array_equal(neighbour_table(scaled, 4), table)


def test_reordering_rows_reorders_the_table(features):
    order = np.random.default_rng(2).permutation(60)
    place = np.argsort(order)
    np.testing.assert_array_equal(neighbour_table(features[order], 4), place[neighbour_table(features, 4)[order]])


def test_a_zero_row_has_neighbours_and_similarity_zero(features):
    features[3] = 0
    indices, similarities = NeighbourSearch(features, 5).nearest(np.array([3]))
    assert len(set(indices[0]) - {3}) == 5
    np.testing.assert_array_equal(similarities, np.zeros((1, 5), np.float32))


def test_similarities_fall_and_stay_within_one():
    twins = np.random.default_rng(7).normal(size=(200, 6)).repeat(2, axis=0)
    _, similarities = NeighbourSearch(twins, 12).nearest(np.arange(400))
    assert similarities.dtype == np.float32
    assert (np.diff(similarities, axis=1) <= 0).all() and np.abs(similarities).max() == 1  # 1.0000001 unless clipped


def test_inverted_lists_that_are_all_looked_through_are_exact(monkeypatch):
    monkeypatch.setattr(searching, "PROBES", 10_000)
    features = np.random.default_rng(3).normal(size=(400, 6))
    rows = np.arange(400)
    exact = NeighbourSearch(features, 5).nearest(rows)
    lists = NeighbourSearch(features, 5, index="ivf")
    assert lists.index.nlist == 12
    np.testing.assert_array_equal(lists.nearest(rows)[0], exact[0])
    np.testing.assert_allclose(lists.nearest(rows)[1], exact[1], atol=1e-6)


@pytest.mark.parametrize("neighbours", [10, 40])
def test_inverted_lists_find_most_and_never_leave_a_row_short(monkeypatch, neighbours):
    """600 rows in 18 lists: one list holds more than 10 neighbours of another video, but often not 40."""
    monkeypatch.setattr(searching, "PROBES", 1)
    features = np.random.default_rng(4).normal(size=(600, 6))
    videos, rows = np.arange(600) // 5, np.arange(600)
    exact = NeighbourSearch(features, neighbours, videos=videos).nearest(rows)[0]
    table = NeighbourSearch(features, neighbours, videos=videos, index="ivf").nearest(rows)[0]
    recall = np.mean([np.isin(one, other).mean() for one, other in zip(exact, table, strict=True)])
    assert 0.4 < recall < 1
    for row, others in enumerate(table):
        assert len(set(others)) == neighbours and min(others) >= 0 and videos[row] not in videos[others]


def test_lists_are_the_same_every_time_and_survive_few_rows():
    features = np.random.default_rng(5).normal(size=(300, 4))
    np.testing.assert_array_equal(train_lists(features), train_lists(features))
    assert NeighbourSearch(features[:4], 2, index="ivf").nearest(np.arange(4))[0].shape == (4, 2)


def test_auto_is_exact_until_lists_pay():
    assert [index_kind("auto", count) for count in (2, IVF_FROM - 1, IVF_FROM)] == ["flat", "flat", "ivf"]
    assert index_kind("ivf", 2) == "ivf" and index_kind("flat", 10 * IVF_FROM) == "flat"


def test_both_is_the_mean_of_the_two_cosines(features):
    image, audio = features, np.random.default_rng(6).normal(size=(60, 3))
    parts = {source: mining_features(MiningConfig(source=source), image=image, audio=audio) for source in
             ("image", "audio", "both")}  # fmt: skip
    cosines = {source: part @ part.T for source, part in parts.items()}
    np.testing.assert_allclose(cosines["both"], (cosines["image"] + cosines["audio"]) / 2, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(parts["both"], axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(mining_features(MiningConfig(), image=image), parts["image"])


@pytest.mark.parametrize(
    "given, message",
    [
        ({"neighbours": 0}, "neighbours must be a whole number of at least 1, got 0; 20 is the default."),
        ({"neighbours": True}, "neighbours must be a whole number of at least 1, got True; 20 is the default."),
        ({"source": "text"}, "mining must be one of image, audio, both, got 'text'; change it."),
        ({"index": "hnsw"}, "index must be one of auto, flat, ivf, got 'hnsw'; change it."),
        ({"hard_negatives": 1}, "hard_negatives must be true or false, got 1; change it."),
        ({"exclude_same_video": "no"}, "exclude_same_video must be true or false, got 'no'; change it."),
    ],
)
def test_config_refusals(given, message):
    with pytest.raises(InputError) as caught:
        MiningConfig(**given)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    "features, neighbours, videos, message",
    [
        (
            np.eye(12), 12, None,
            "neighbours must be between 1 and 11 for 12 frames (a frame is not its own neighbour), got 12; "
            "lower --neighbours or add videos.",
        ),
        (
            np.eye(12), 8, np.array([0] * 5 + [*range(1, 8)]),
            "neighbours must be between 1 and 7 for 12 frames of which 5 are of one video (frames of the same video "
            "are not neighbours), got 8; lower --neighbours or add videos.",
        ),
        (np.eye(1), 1, None, "neighbours need at least 2 frames, got 1; add videos."),
        (np.empty((0, 3)), 1, None, "neighbours need at least 2 frames, got 0; add videos."),
        (
            np.eye(3), 1, np.zeros(3, int),
            "neighbours need frames of at least 2 videos when the same video is excluded, all 3 are of one; "
            "add videos, or pass --no-exclude-same-video.",
        ),
        (np.ones(4), 1, None, "features must be (frames, numbers), got shape (4,); give one row per frame."),
        (
            np.array([[1.0, 2], [3, 4], [np.nan, 0]]), 1, None,
            "features must be finite, row 2 is not; leave that frame out or compute it again.",
        ),
        (
            np.eye(3), 1, np.array([0, 1]),
            "videos must be one whole number for each of 3 frames, got int64 of shape (2,); give the number of the "
            "video that each frame comes from.",
        ),
    ],
)  # fmt: skip
def test_search_refusals(features, neighbours, videos, message):
    with pytest.raises(InputError) as caught:
        neighbour_table(features, neighbours, videos=videos)
    assert str(caught.value) == message


def test_feature_refusals(features):
    with pytest.raises(InputError) as caught:
        mining_features(MiningConfig(source="both"), image=features)
    assert str(caught.value) == "source 'both' needs audio features, got None; compute them first."
    with pytest.raises(InputError) as caught:
        mining_features(MiningConfig(source="both"), image=features, audio=features[:9])
    assert str(caught.value) == (
        "image and audio features must have one row per frame each, got 60 and 9 rows; compute both for the same "
        "frames."
    )
