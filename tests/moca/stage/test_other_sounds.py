import numpy as np

from moca.stage.other_sounds import FURTHER, OF_A_VOICE, SAMPLES, other_sounds
from moca.stage.sounds import VOICES


def test_the_bank_has_every_voice_and_every_other_kind():
    sounds = list(other_sounds())
    counts = {name: sum(other == name for other, _ in sounds) for name in dict(sounds)}
    assert counts == {name: OF_A_VOICE for name in VOICES} | {name: count for name, (_, count) in FURTHER.items()}
    assert len(sounds) == 160


def test_sounds_are_audible_within_full_scale_and_all_different():
    waves = [wave for _, wave in other_sounds()]
    assert all(wave.shape == (SAMPLES,) and wave.dtype == np.float32 for wave in waves)
    assert all(np.isfinite(wave).all() and np.abs(wave).max() <= 0.981 for wave in waves)
    assert min(np.sqrt(np.mean(wave**2)) for wave in waves) > 10 ** (-40 / 20)
    assert len({wave.tobytes() for wave in waves}) == len(waves)


def test_the_recipe_gives_the_same_samples_every_time():
    for (name, one), (other, again) in zip(other_sounds(), other_sounds(), strict=True):
        assert name == other
        np.testing.assert_array_equal(one, again)
