import numpy as np
import pytest

from moca.errors import InputError
from moca.segmentation.relative import Comparison, SoundBank, compare


def unit(*shape, seed=0):
    drawn = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    return drawn / np.linalg.norm(drawn, axis=-1, keepdims=True)


@pytest.fixture
def bank():
    return SoundBank(embeddings=unit(12, 8), names=tuple("abcdefghijkl"), fingerprint="12ab")


def test_scores_agree_with_a_loop_over_every_sound(bank):
    patches, sound = unit(3, 5, 8, seed=1), unit(8, seed=2)
    found = compare(patches, sound, bank)
    expected, around = [], []
    for patch in patches.reshape(-1, 8):
        others = [float(patch @ other) for other in bank.embeddings]
        around += [(other - sum(others) / 12) ** 2 for other in others]
        expected.append(float(patch @ sound) - sum(others) / 12)
    spread = np.sqrt(sum(around) / len(around))
    assert found.spread == pytest.approx(spread, rel=1e-5)
    np.testing.assert_allclose(found.scores, np.array(expected) / spread, atol=1e-5)


def test_taking_the_bank_away_is_one_subtraction(bank):
    patches, sound = unit(15, 8, seed=1), unit(8, seed=2)
    found = compare(patches, sound, bank)
    np.testing.assert_allclose(patches @ (sound - bank.embeddings.mean(0)), found.scores * found.spread, atol=1e-6)


@pytest.mark.parametrize(("scale", "offset"), [(0.3, 0.1), (2.0, -0.4)])
def test_scores_and_ranks_have_no_scale(bank, scale, offset):
    found = compare(unit(15, 8, seed=1), unit(8, seed=2), bank)
    other = Comparison(own=scale * found.own + offset, others=scale * found.others + offset)
    np.testing.assert_allclose(other.scores, found.scores, atol=1e-5)
    assert [other.rank(n) for n in range(15)] == [found.rank(n) for n in range(15)]
    assert not np.allclose(other.own, found.own)


def test_a_sound_of_the_bank_itself_has_its_place_in_it(bank):
    patch = unit(1, 8, seed=3)
    order = np.argsort((patch @ bank.embeddings.T)[0])
    for place, k in enumerate(order):
        found = Comparison(own=(patch @ bank.embeddings.T)[:, k], others=patch @ bank.embeddings.T)
        assert found.rank(0) == pytest.approx((place + 0.5) / 12)
        assert found.better(0, bank.names, most=12) == tuple(bank.names[k] for k in order[place + 1 :][::-1])


def test_names_that_fit_better_are_given_once_each():
    found = Comparison(own=np.array([0.2]), others=np.array([[0.1, 0.5, 0.4, 0.3, 0.2]]))
    assert found.better(0, ("car", "bird", "bird", "bell", "fan")) == ("bird", "bell")
    assert found.better(0, ("car", "bird", "bird", "bell", "fan"), most=1) == ("bird",)


def test_regions_are_pooled_by_their_mean(bank):
    found = compare(unit(15, 8, seed=1), unit(8, seed=2), bank)
    pooled = found.pooled(np.array([2, 7]))
    assert pooled.own[0] == pytest.approx((found.own[2] + found.own[7]) / 2)
    np.testing.assert_allclose(pooled.others[0], (found.others[2] + found.others[7]) / 2)


def test_no_region_has_no_score_and_equal_cosines_no_noise():
    nothing = Comparison(own=np.zeros(0), others=np.zeros((0, 5)))
    assert nothing.scores.shape == (0,)
    flat = Comparison(own=np.full(3, 0.4), others=np.full((3, 5), 0.4))
    np.testing.assert_allclose(flat.scores, 0, atol=1e-6)
    assert flat.rank(0) == 0.5


def test_a_bank_of_one_sound_is_refused():
    with pytest.raises(InputError) as caught:
        SoundBank(embeddings=unit(1, 8), names=("a",), fingerprint="")
    assert str(caught.value) == (
        "a bank must hold at least 2 sounds with a name each, got embeddings (1, 8) and 1 names; add sounds."
    )
