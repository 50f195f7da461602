import numpy as np
import pytest

from moca.segmentation.kmeans import cosine_kmeans, otsu_threshold


def bundles(generator, centres, each=30, spread=0.05):
    rows = np.repeat(centres, each, axis=0) + generator.normal(0, spread, (len(centres) * each, centres.shape[1]))
    return rows.astype(np.float32)


def test_finds_directions_whatever_their_length():
    generator = np.random.default_rng(0)
    features = bundles(generator, np.eye(3))
    lengths = generator.uniform(0.1, 10, (90, 1))
    labels, centres = cosine_kmeans(features * lengths, 3)
    groups = labels.reshape(3, 30)
    assert (groups == groups[:, :1]).all() and len(set(groups[:, 0])) == 3
    np.testing.assert_allclose(np.linalg.norm(centres, axis=1), 1, atol=1e-6)


def test_length_would_have_mattered_to_plain_kmeans():
    from sklearn.cluster import KMeans

    generator = np.random.default_rng(0)
    features = bundles(generator, np.eye(3)) * generator.uniform(0.1, 10, (90, 1))
    groups = KMeans(3, n_init=2, random_state=0).fit(features).labels_.reshape(3, 30)
    assert not (groups == groups[:, :1]).all()


def test_same_seed_same_labels():
    features = np.random.default_rng(1).normal(size=(196, 16))
    first, second, other = (cosine_kmeans(features, 5, seed=seed)[0] for seed in (0, 0, 7))
    assert (first == second).all()
    assert (first != other).any()


@pytest.mark.parametrize(("rows", "found"), [(np.ones((20, 4)), 1), (np.eye(2)[[0, 1, 0]], 2), (np.zeros((3, 2)), 1)])
def test_fewer_directions_than_clusters(rows, found):
    labels, centres = cosine_kmeans(rows, 4)
    assert centres.shape[0] == found and labels.max() == found - 1


def test_refuses_no_clusters():
    with pytest.raises(ValueError, match=r"^clusters must be at least 1, got 0; 4 suits most frames\.$"):
        cosine_kmeans(np.eye(3), 0)


def test_otsu_splits_two_bumps_and_agrees_with_a_slow_search():
    generator = np.random.default_rng(2)
    values = np.concatenate([generator.normal(0, 0.1, 300), generator.normal(1, 0.1, 100)])
    threshold = otsu_threshold(values)
    assert 0.3 < threshold < 0.7

    def within(cut):
        low, high = values[values < cut], values[values >= cut]
        return low.size * low.var() + high.size * high.var()

    cuts = np.linspace(values.min(), values.max(), 129)[1:-1]
    assert within(threshold) <= min(map(within, cuts)) * 1.01


def test_otsu_of_a_constant_is_that_constant():
    assert otsu_threshold(np.full((4, 4), 0.25)) == 0.25
