"""The bank of other sounds of an encoder: synthesised once and kept on disk, or made of a user's own clips.

What is done with it is in `moca.segmentation.relative`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch

from moca.core.files import written_whole
from moca.core.loudness import level_dbfs
from moca.core.spreading import spread_with_ends
from moca.errors import InputError
from moca.foundation.imagebind.model import ImageBind
from moca.foundation.manifest import weights_home
from moca.media.listening import collect_sounds, read_sound
from moca.media.logmel import log_mel
from moca.pipeline.encoder import encoder_prints
from moca.segmentation.relative import SoundBank
from moca.stage.other_sounds import RECIPE, other_sounds

BATCH_SOUNDS = 16  # sounds embedded at a time; it changes memory, not results
LEAST_SOUNDS = 8
MOST_SOUNDS = 160
SILENCE_DBFS = -60.0
"""Windows of a user's clips whose level is below are no sounds."""


def sound_bank(encoder: ImageBind, encoder_print: str | None, folder: str | Path | None = None) -> SoundBank:
    """The bank of an encoder.

    encoder: on any device. encoder_print: fingerprint of its weights; None takes it of them now. folder: of a user's
    videos and sounds; None takes the synthesised ones, which are embedded on first use and read from
    `weights_home()/banks` afterwards. Raises InputError, in one line, for a folder that has too little sound.
    """
    encoder_print = encoder_print or encoder_prints(encoder)["encoder"]
    return _synthesised(encoder, encoder_print) if folder is None else own_bank(encoder, encoder_print, Path(folder))


def own_bank(encoder: ImageBind, encoder_print: str, folder: Path) -> SoundBank:
    """The bank of a user's clips: up to 160 seconds that are not silent, spread evenly over the files of a folder.

    Every file gives as many as it has, up to an equal share. Named by their files.
    """
    files = collect_sounds(folder)
    share = max(1, MOST_SOUNDS // len(files))
    chosen = files[:: max(1, -(-len(files) // MOST_SOUNDS))]
    sounds = []
    for path in chosen:
        waves = audible(read_sound(path))
        sounds += [(path.stem, waves[index]) for index in spread_with_ends(len(waves), share)]
    if len(sounds) < LEAST_SOUNDS:
        raise InputError(
            f"the folder of other sounds must hold at least {LEAST_SOUNDS} s of audible sound, {folder} has "
            f"{len(sounds)} in {len(files)} files; add clips, or leave it out."
        )
    heard = hashlib.sha256(encoder_print.encode())
    for _, wave in sounds:
        heard.update(wave.astype("<f4").tobytes())
    names = tuple(name for name, _ in sounds)
    waves = [wave for _, wave in sounds]
    return SoundBank(embeddings=embed_sounds(encoder, waves), names=names, fingerprint=heard.hexdigest()[:16])


def audible(waves: Iterable[np.ndarray]) -> list[np.ndarray]:
    """Those that are not silent."""
    return [wave for wave in waves if level_dbfs(wave) >= SILENCE_DBFS]


@torch.inference_mode()
def embed_sounds(encoder: ImageBind, waves: Iterable[np.ndarray]) -> np.ndarray:
    """Embeddings (K, E) float32 of unit length of waves (n,) of any lengths, by an encoder on its own device."""
    like, config, found = next(encoder.parameters()), encoder.config.log_mel, []
    mels = [log_mel(torch.from_numpy(np.ascontiguousarray(wave, np.float32))[None], config) for wave in waves]
    for start in range(0, len(mels), BATCH_SOUNDS):
        batch = torch.cat(mels[start : start + BATCH_SOUNDS]).to(like.device, like.dtype)
        found.append(encoder.audio_direction(encoder.embed_audio(batch)).float().cpu())
    return torch.cat(found).numpy()


def _synthesised(encoder: ImageBind, encoder_print: str) -> SoundBank:
    """The synthesised bank, from the file that an earlier call left, where it can be read and written."""
    made_of = hashlib.sha256(f"synthesised {RECIPE} {encoder_print}".encode()).hexdigest()[:16]
    place = weights_home() / "banks" / f"{made_of}.safetensors"
    if (stored := _stored(place, encoder.config.embed_dim)) is not None:
        embeddings, names = stored
    else:
        names, waves = zip(*other_sounds(), strict=True)
        embeddings = embed_sounds(encoder, waves)
        with suppress(OSError):  # a bank that cannot be kept is made again
            _keep(place, embeddings, names)
    return SoundBank(embeddings=embeddings, names=names, fingerprint=made_of)


def _keep(place: Path, embeddings: np.ndarray, names: tuple[str, ...]) -> None:
    from safetensors.numpy import save_file

    with written_whole(place) as temporary:
        save_file({"embeddings": np.ascontiguousarray(embeddings)}, temporary, metadata={"names": "\n".join(names)})


def _stored(place: Path, width: int) -> tuple[np.ndarray, tuple[str, ...]] | None:
    """What `_keep` wrote; None where nothing is, or what is there is damaged."""
    from safetensors import SafetensorError, safe_open

    if not place.is_file():
        return None
    try:
        with safe_open(place, framework="numpy") as file:
            names = tuple((file.metadata() or {}).get("names", "").split("\n"))
            embeddings = file.get_tensor("embeddings")
    except (SafetensorError, OSError, ValueError):
        return None
    whole = embeddings.shape == (len(names), width) and embeddings.dtype == np.float32
    return (embeddings, names) if whole and np.isfinite(embeddings).all() else None
