import numpy as np
import pytest

from moca.errors import InputError
from moca.mining import mine_triplets, neighbour_table


def test_table_agrees_with_a_full_sort():
    features = np.random.default_rng(0).normal(size=(40, 6))
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    cosine = unit @ unit.T
    np.fill_diagonal(cosine, -2)
    expected = np.argsort(-cosine, axis=1)[:, :5]
    np.testing.assert_array_equal(neighbour_table(features, 5), expected)


def test_a_row_is_never_its_own_neighbour_even_among_duplicates():
    table = neighbour_table(np.ones((6, 3)), 5)
    for row, found in enumerate(table):
        assert sorted(found) == sorted(set(range(6)) - {row})


def test_triplets_keep_the_rules():
    generator = np.random.default_rng(1)
    features = generator.normal(size=(60, 4))
    table = neighbour_table(features, 8)
    for _ in range(20):
        anchors = generator.choice(60, 16, replace=False)
        positives, negatives = mine_triplets(anchors, table, generator)
        for anchor, positive, negative in zip(anchors, positives, negatives, strict=True):
            assert positive in table[anchor]
            assert negative != anchor and negative not in table[anchor]
            assert negative in anchors


def test_negatives_leave_the_batch_when_it_has_none():
    table = np.array([[1], [0], [0], [0]])
    _, negatives = mine_triplets(np.array([0, 1]), table, np.random.default_rng(0))
    assert set(negatives) <= {2, 3}


def test_refusals():
    message = (
        "neighbours must be between 1 and 11 for 12 frames (a frame is not its own neighbour), got 12; "
        "lower --neighbours or add videos."
    )
    with pytest.raises(InputError) as caught:
        neighbour_table(np.eye(12), 12)
    assert str(caught.value) == message
    with pytest.raises(InputError, match=r"^negatives need a frame outside the 2 neighbours of frame 0"):
        mine_triplets(np.array([0]), np.array([[1, 2], [0, 2], [0, 1]]), np.random.default_rng(0))
