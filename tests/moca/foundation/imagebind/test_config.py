"""What a configuration accepts, and its JSON form."""

import json
from dataclasses import replace

import pytest

from moca.errors import InputError
from moca.foundation.imagebind.config import ImageBindConfig
from moca.media.logmel import LogMelConfig

MINI = ImageBindConfig.mini()


@pytest.mark.parametrize("config", [ImageBindConfig.huge(), MINI, replace(MINI, folded=True, reading="value")])
def test_json_restores_the_configuration(config):
    assert ImageBindConfig.read(json.loads(json.dumps(config.to_json()))) == config


def test_the_official_grids():
    assert ImageBindConfig.huge().image_grid == (16, 16)
    assert ImageBindConfig.huge().audio_grid == (12, 19)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_blocks": 0}, "image_blocks must be a whole number of at least 1, got 0; correct it."),
        ({"embed_dim": "8"}, "embed_dim must be a whole number of at least 1, got '8'; correct it."),
        ({"temperature": 0.0}, "temperature must be a number above 0, got 0.0; correct it."),
        ({"folded": 1}, "folded must be true or false, got 1; correct it."),
        ({"stem": "mlp"}, "stem must be one of patch, conv, got 'mlp'; correct it."),
        ({"pooling": "max"}, "pooling must be one of class, dense, got 'max'; correct it."),
        ({"image_heads": 3}, "image_width must be a multiple of image_heads (3), got 128; change one."),
        ({"image_size": 100}, "image_size must be a multiple of patch (8), got 100; change one."),
        ({"patch": 16}, 'patch must be 8 with stem "conv", got 16; change one.'),
        (
            {"log_mel": LogMelConfig(mel_bins=60)},
            'mel_bins must be a multiple of 8 with stem "conv", got 60; change it.',
        ),
        (
            {"audio_width": 6, "audio_heads": 2},
            'audio_width must be a multiple of 4 with stem "conv", got 6; change it.',
        ),
        (
            {"stem": "patch", "folded": True},
            'folded needs stem "conv", got stem "patch"; set folded to false.',
        ),
        (
            {"stem": "patch", "audio_patch": 100},
            "mel_bins and target_frames must be at least audio_patch (100), got 64 and 96; raise them.",
        ),
    ],
)
def test_impossible_configurations_are_refused(change, message):
    with pytest.raises(InputError) as caught:
        replace(MINI, **change)
    assert str(caught.value) == message


def test_unknown_and_missing_keys_are_refused_by_name():
    values = MINI.to_json()
    cases = [
        ({**values, "depth": 3, "colour": 1}, "the ImageBind configuration has unknown keys: colour, depth"),
        (
            {k: v for k, v in values.items() if k != "patch"},
            "the ImageBind configuration has missing keys: patch",
        ),
        ({**values, "log_mel": {}}, "the log_mel configuration has missing keys: frame_ms, hop_ms, mean, "),
        ({**values, "log_mel": 3}, "the log_mel configuration must be a JSON object, got int"),
        ([], "the ImageBind configuration must be a JSON object, got list"),
    ]
    for given, message in cases:
        with pytest.raises(InputError) as caught:
            ImageBindConfig.read(given)
        assert str(caught.value).startswith(message)
        assert str(caught.value).endswith("; restore config.json.")
