"""Train the mini AST on Soundstage: which classes are heard in a second of sound.

    python -m recipes.train_mini_tagger -o weights/mini/tagger

Half of the sounds are mixed with another one, at some level, and then have the classes of both.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import ASTConfig, ASTForAudioClassification

from moca.foundation.ast_tagger import AstTagger, save_tagger
from moca.media.logmel import LogMelConfig, log_mel
from moca.stage import CLASSES, SAMPLE_RATE_HZ
from recipes.stage_scenes import Scenes
from recipes.starts import seeded, waves_of_places, widened
from recipes.twin_cards import finish_twin
from recipes.twins import TwinRecipe, scenes_of, train_twin, twin_parser
from recipes.twins_measured import measure_tagger

STEPS = 2_500
MIXED = 0.5
READING = LogMelConfig(sample_rate_hz=SAMPLE_RATE_HZ, mel_bins=64, target_frames=100, mean=-5.5, std=5.0)


def mini_config() -> ASTConfig:
    """An AST of 0.8 million parameters that hears one second."""
    return ASTConfig(
        hidden_size=128,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=512,
        patch_size=16,
        frequency_stride=8,
        time_stride=8,
        max_length=READING.target_frames,
        num_mel_bins=READING.mel_bins,
        id2label=dict(enumerate(CLASSES)),
        label2id={name: number for number, name in enumerate(CLASSES)},
    )


def spectrograms(waves: Tensor) -> Tensor:
    """Waves (B, S) as the model hears them, (B, frames, mel bins)."""
    return log_mel(waves, READING)[:, 0].transpose(1, 2)


class TaggerLoss:
    """The loss of a batch of sounds."""

    def __init__(self, scenes: Scenes):
        self.scenes = scenes

    def __call__(self, model: nn.Module, rows: np.ndarray, rng: np.random.Generator) -> tuple[Tensor, dict]:
        waves, heard = self.scenes.sound(rows), self.scenes.heard[rows]
        others = np.sort(rng.choice(len(self.scenes), len(rows), replace=False))
        more, also = self.scenes.sound(others), self.scenes.heard[others]
        mixed = rng.random(len(rows)) < MIXED
        gain = np.where(mixed, 10 ** (rng.uniform(-6, 6, len(rows)) / 20), 0.0).astype(np.float32)
        volume = 10 ** (rng.uniform(-6, 3, (len(rows), 1)) / 20)
        waves = (waves + gain[:, None] * more) * volume.astype(np.float32)
        heard = heard | (also & mixed[:, None])
        logits = model(input_values=spectrograms(torch.from_numpy(waves))).logits.float()
        loss = functional.binary_cross_entropy_with_logits(logits, torch.from_numpy(heard.astype(np.float32)))
        return 10 * loss, {}


def grid_of(config: ASTConfig) -> tuple[int, int]:
    """Patches along frequency and time."""
    down = (config.num_mel_bins - config.patch_size) // config.frequency_stride + 1
    return down, (config.max_length - config.patch_size) // config.time_stride + 1


def new_model(seed: int) -> ASTForAudioClassification:
    """An untrained mini AST."""
    with seeded(seed):
        model = widened(ASTForAudioClassification(mini_config()))
    with torch.no_grad():
        places = model.audio_spectrogram_transformer.embeddings.position_embeddings
        places.copy_(waves_of_places(places.shape[-1], *grid_of(model.config), marks=2))
    return model


def main() -> None:
    """Draw, train, save with a card."""
    options = twin_parser(__doc__.splitlines()[0], "tagger", STEPS).parse_args()
    recipe = TwinRecipe(steps=options.steps, scenes=options.scenes, seed=options.seed, batch=32)
    scenes = scenes_of("train", options)
    model, loss_of = new_model(recipe.seed), TaggerLoss(scenes)
    training = train_twin(model, loss_of, recipe, len(scenes), options.work, name="tagger")
    trained = AstTagger(training.averaged(), READING)
    measured = {split: measure_tagger(trained, scenes_of(split, options)) for split in ("val", "test")}

    def save(folder, model, **how) -> None:
        save_tagger(folder, model, reading=READING, **how)

    finish_twin(options.out, "tagger", save, training, training.averaged(), measured)


if __name__ == "__main__":
    main()
