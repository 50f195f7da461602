from itertools import permutations

import numpy as np
import pytest

from moca.errors import InputError
from moca.mining import far_rows, mine_triplets, neighbour_table, purity


@pytest.fixture
def features():
    return np.random.default_rng(1).normal(size=(60, 4))


def naive_can(anchor, other, table, videos):
    return other != anchor and other not in table[anchor] and (videos is None or videos[other] != videos[anchor])


@pytest.mark.parametrize("by_video", [False, True])
def test_triplets_keep_the_rules(features, by_video):
    generator = np.random.default_rng(1)
    videos = np.arange(60) // 4 if by_video else None
    table = neighbour_table(features, 8, videos=videos)
    for _ in range(20):
        anchors = generator.choice(60, 16, replace=False)
        positives, negatives = mine_triplets(anchors, table, generator, videos=videos)
        assert sorted(negatives) == sorted(anchors)  # a shuffle of the batch
        for anchor, positive, negative in zip(anchors, positives, negatives, strict=True):
            assert positive in table[anchor]
            assert naive_can(anchor, negative, table, videos)


def test_as_many_as_possible_are_served_by_the_batch(features):
    """Against every shuffle there is: none serves more anchors than the one that was drawn."""
    generator = np.random.default_rng(2)
    table = neighbour_table(features[:14], 8)
    short = 0
    for _ in range(50):
        anchors = generator.choice(14, 5, replace=False)
        _, negatives = mine_triplets(anchors, table, generator)
        best = max(
            sum(naive_can(anchor, other, table, None) for anchor, other in zip(anchors, order, strict=True))
            for order in permutations(anchors)
        )
        inside = [negative for negative in negatives if negative in anchors]
        assert len(inside) >= best
        assert all(naive_can(*pair, table, None) for pair in zip(anchors, negatives, strict=True))
        short += best < 5
    assert 0 < short < 50


def test_every_allowed_partner_is_drawn_about_as_often(features):
    generator = np.random.default_rng(3)
    table = neighbour_table(features, 1)
    table[:6] = 59  # nothing in the batch is banned but the anchor itself
    counts = np.zeros((6, 6))
    for _ in range(2_000):
        _, negatives = mine_triplets(np.arange(6), table, generator)
        counts[np.arange(6), negatives] += 1
    assert (counts.diagonal() == 0).all()
    assert np.abs(counts[~np.eye(6, dtype=bool)] - 400).max() < 100


def test_positives_cover_the_whole_list(features):
    table = neighbour_table(features, 3)
    generator = np.random.default_rng(4)
    positives = np.array([mine_triplets(np.arange(60), table, generator)[0] for _ in range(60)])
    np.testing.assert_array_equal([sorted(set(column)) for column in positives.T], np.sort(table, axis=1))


def test_a_seed_repeats_itself_and_another_does_not(features):
    table, anchors = neighbour_table(features, 8), np.arange(16)
    one, same, other = (mine_triplets(anchors, table, np.random.default_rng(seed)) for seed in (5, 5, 6))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


def test_negatives_leave_the_batch_when_it_has_none():
    table = np.array([[1], [0], [0], [0]])
    _, negatives = mine_triplets(np.array([0, 1]), table, np.random.default_rng(0))
    assert set(negatives) <= {2, 3}
    _, negatives = mine_triplets(np.array([0, 1]), table, np.random.default_rng(0), videos=np.array([0, 0, 0, 1]))
    assert set(negatives) == {3}


def test_an_anchor_that_repeats_does_not_meet_itself(features):
    table = neighbour_table(features, 2)
    anchors = np.array([7, 7, 7])
    for seed in range(10):
        _, negatives = mine_triplets(anchors, table, np.random.default_rng(seed))
        assert not np.isin(negatives, [7, *table[7]]).any()


def test_hard_negatives_are_the_most_similar_allowed_anchors(features):
    generator = np.random.default_rng(7)
    table, videos = neighbour_table(features, 6), np.arange(60) // 4
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    anchors = generator.choice(60, 16, replace=False)
    _, negatives = mine_triplets(anchors, table, generator, videos=videos, hard_features=features)
    for anchor, negative in zip(anchors, negatives, strict=True):
        allowed = [other for other in anchors if naive_can(anchor, other, table, videos)]
        assert negative == max(allowed, key=lambda other: unit[anchor] @ unit[other])
    _, outside = mine_triplets(anchors[:1], table, generator, hard_features=features)
    assert naive_can(anchors[0], outside[0], table, None)


@pytest.mark.parametrize("by_video", [False, True])
def test_far_rows_are_below_the_quantile(features, by_video):
    videos = np.arange(60) // 4 if by_video else np.arange(60)
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    drawn = far_rows(
        features, np.arange(60), 6, np.random.default_rng(8), quantile=0.25, videos=videos if by_video else None
    )
    assert drawn.shape == (60, 6) and drawn.dtype == np.int64
    for anchor, rows in enumerate(drawn):
        cosines = unit @ unit[anchor]
        others = cosines[videos != videos[anchor]]
        assert cosines[rows].max() <= np.quantile(others, 0.25) + 1e-6
        assert len(set(rows)) == 6 and videos[anchor] not in videos[rows]


def test_far_rows_of_a_pool_are_still_far(features):
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    far = far_rows(features, np.repeat(0, 300), 1, np.random.default_rng(9), quantile=0.3, pool=30)
    near = np.argsort(-(unit @ unit[0]))[:10]
    assert not np.isin(near, far).any()
    assert len(set(far_rows(features, np.array([0]), 50, np.random.default_rng(9), quantile=0.3, pool=30)[0])) <= 9


def test_far_rows_avoid_duplicates_of_the_anchor(features):
    features[:40], features[59] = features[0], -features[0]
    rows = far_rows(features, np.array([0, 59]), 200, np.random.default_rng(10))
    assert rows[0].min() >= 40  # most of the set is as similar as can be
    assert rows[1].max() < 40  # duplicates of another row may well be far


def test_far_rows_come_again_when_there_are_few():
    rows = far_rows(np.array([[1.0, 0], [0, 1], [1, 1]]), np.array([0]), 5, np.random.default_rng(0))
    np.testing.assert_array_equal(rows, [[1] * 5])


def test_purity_agrees_with_a_naive_loop(features):
    generator = np.random.default_rng(11)
    table = neighbour_table(features, 5)
    classes = [set(generator.choice(list("abcd"), generator.integers(0, 3), replace=False)) for _ in range(60)]
    anchors = [row for row in range(60) if classes[row]]
    hits = [bool(classes[row] & classes[other]) for row in anchors for other in table[row]]
    chance = [bool(classes[row] & classes[other]) for row in anchors for other in range(60) if other != row]
    shares = purity(table, classes)
    assert shares == pytest.approx({"purity": np.mean(hits), "chance": np.mean(chance), "anchors": len(anchors)})
    assert 0 < len(anchors) < 60 and shares["purity"] != shares["chance"]


def test_purity_of_perfect_neighbours_of_wrong_ones_and_of_none():
    classes = [["a"], ["a"], ["b"], ["b"]]
    assert purity(np.array([[1], [0], [3], [2]]), classes)["purity"] == 1
    assert purity(np.array([[2], [3], [0], [1]]), classes)["purity"] == 0
    silent = purity(np.array([[1], [0]]), [(), ()])
    assert np.isnan(silent["purity"]) and np.isnan(silent["chance"]) and silent["anchors"] == 0


def refusal(call):
    with pytest.raises(InputError) as caught:
        call()
    return str(caught.value)


def test_triplet_refusals():
    table, generator = np.array([[1, 2], [0, 2], [0, 1]]), np.random.default_rng(0)
    assert refusal(lambda: mine_triplets(np.array([0]), table, generator)) == (
        "negatives need a frame outside the 2 neighbours of frame 0, got none among 3 frames; "
        "lower --neighbours or add videos."
    )
    alone = np.array([[1], [0], [0]])
    assert refusal(lambda: mine_triplets(np.array([0]), alone, generator, videos=np.array([0, 1, 0]))) == (
        "negatives need a frame outside the 1 neighbours of frame 0 and outside its video, got none among 3 frames; "
        "lower --neighbours or add videos."
    )


def test_far_row_refusals():
    generator, one = np.random.default_rng(0), np.array([0])
    same = np.ones((4, 2))
    assert refusal(lambda: far_rows(same, one, 1, generator)) == (
        "far rows need a frame that differs from frame 0, got none among 3 candidates; "
        "add videos or leave duplicates out."
    )
    assert refusal(lambda: far_rows(same, one, 1, generator, videos=np.zeros(4, int))) == (
        "far rows need a frame that differs from frame 0, got none among 0 candidates; "
        "add videos or leave duplicates out."
    )
    assert refusal(lambda: far_rows(same, one, 0, generator)) == (
        "count must be a whole number of at least 1, got 0; ask for 1 or more."
    )
    assert refusal(lambda: far_rows(same, one, 1, generator, quantile=0.0)) == (
        "quantile must be above 0 and at most 1, got 0.0; 0.5 is the less similar half."
    )
    assert refusal(lambda: far_rows(same, one, 1, generator, pool=1)) == (
        "pool must be a whole number of at least 2, got 1; 4096 is the default."
    )


def test_purity_refusals():
    table = np.array([[1], [0]])
    assert refusal(lambda: purity(table, [["a"]])) == (
        "classes must have one entry for each of 2 frames, got 1; add them."
    )
    assert refusal(lambda: purity(table, [["a"], "dog"])) == (
        "classes of frame 1 must be a collection of names, got 'dog'; use ['dog']."
    )
