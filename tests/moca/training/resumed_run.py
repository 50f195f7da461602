"""A run on a tiny random encoder, to be killed: python resumed_run.py FOLDER [--die-writing STEP] [--pause SECONDS]

It resumes what is in FOLDER. With --die-writing it kills itself halfway through writing that step's checkpoint.
"""

import argparse
import io
import os
import signal
import time
from pathlib import Path

import numpy as np
import torch

from moca.adapters import AdaptedTowers, fingerprint, make_plan, save_adapters
from moca.corpus.corpus import corpus_from_arrays
from moca.foundation.imagebind.config import ImageBindConfig
from moca.foundation.imagebind.model import random_imagebind
from moca.media.logmel import LogMelConfig
from moca.mining import MiningConfig
from moca.training.config import LabelConfig, TrainConfig
from moca.training.loop import train
from moca.training.losses.objective import Objective
from moca.training.losses.preparing import prepare
from moca.training.processes import make_accelerator

STEPS = 30
CONFIG = TrainConfig(
    steps=STEPS,
    batch=4,
    warmup=3,
    matching=0.5,
    mining=MiningConfig(source="audio", neighbours=3),
    labels=LabelConfig(alike=3, unlike=4, refine=False),
    checkpoint_every=7,
)
ENCODER = ImageBindConfig(
    image_size=32, patch=8, image_width=16, image_blocks=3, image_heads=2,
    audio_patch=8, audio_stride=8, audio_width=12, audio_blocks=2, audio_heads=2, embed_dim=8,
    log_mel=LogMelConfig(mel_bins=16, target_frames=96),
)  # fmt: skip


def run(folder: Path, *, pause_s: float = 0.0) -> None:
    """Train, or go on, in folder; save the adapters in folder/adapters."""
    torch.set_num_threads(1)
    generator = np.random.default_rng(5)
    corpus = corpus_from_arrays(
        generator.integers(0, 256, (24, 32, 32, 3), dtype=np.uint8),
        generator.integers(-9000, 9000, (24, 16_000), dtype=np.int16),
        np.arange(24) // 2,
    )
    encoder = random_imagebind(ENCODER, seed=3)
    towers = AdaptedTowers(
        encoder.image_tower,
        encoder.audio_tower,
        make_plan("last", 2, 3, 2),
        CONFIG.adapter_sizes(16),
        readout=8,
        generator=torch.Generator().manual_seed(0),
    )
    objective = Objective(encoder, towers, corpus, CONFIG, prepare(encoder, corpus, CONFIG, folder / "prepared"))
    prints = {"encoder": fingerprint(encoder.state_dict()), "corpus": corpus.fingerprint}
    accelerator = make_accelerator("cpu")
    train(
        objective, CONFIG, folder, resume=True, accelerator=accelerator, fingerprints=prints,
        progress=lambda what, done, total, **values: time.sleep(pause_s),
    )  # fmt: skip
    save_adapters(folder / "adapters", towers, fingerprint=prints["encoder"])


def die_writing(step: int) -> None:
    """From now on, the checkpoint of a step is cut in the middle by SIGKILL."""
    save = torch.save

    def cut(state: dict, path: Path) -> None:
        if state["step"] != step:
            return save(state, path)
        whole = io.BytesIO()
        save(state, whole)
        path.write_bytes(whole.getvalue()[: whole.tell() // 2])
        os.kill(os.getpid(), signal.SIGKILL)

    torch.save = cut


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--die-writing", type=int)
    parser.add_argument("--pause", type=float, default=0.0)
    options = parser.parse_args()
    if options.die_writing:
        die_writing(options.die_writing)
    run(options.folder, pause_s=options.pause)


if __name__ == "__main__":
    main()
