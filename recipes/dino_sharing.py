"""What mining by the mini DINO finds on a VGGSound-like split: neighbours whose clips have the same sound.

    python -m recipes.dino_sharing --model mini --model before=FOLDER --card weights/mini/dino

The split is `moca stage --vggsound`, read as `moca train` reads it; labels are read here and never in training.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from moca.corpus.building import build_corpus
from moca.corpus.finding import find_clips
from moca.data.names_on_disk import VGGSOUND_TABLE, VGGSS_CLIP_FOLDER, VGGSS_FOLDER
from moca.data.vggsound import read_vggsound
from moca.foundation.dino import load_dino
from moca.mining import MiningConfig, mining_features, neighbour_table, purity
from moca.stage import write_stage
from recipes.dino_card import write_dino_card

WORLD = 20_000  # the stage's seed, which no test or example uses
FORM = {"size": 112, "rate_hz": 2}
FRAMES = 5  # of a clip, one a second


def measure_sharing(models: dict[str, str], root: Path, *, clips: int, workers: int) -> dict:
    """Share of neighbours from other videos that have the anchor's sound, by every model and by chance.

    models: what `load_dino` takes, by the name that the result calls it. root: folder of the stage, drawn where it is
    not there, and of the corpus made from it. A neighbour is found by the cosine of the mean of the patches, as
    `moca train` mines with `exclude_same_video`.
    """
    write_stage(root / "stage", vggsound=clips, seed=WORLD, workers=workers, **FORM)
    table, folder = (root / "stage" / VGGSS_FOLDER / name for name in (VGGSOUND_TABLE, VGGSS_CLIP_FOLDER))
    reading = {"image_size": FORM["size"], "steps_per_video": FRAMES, "workers": workers}
    corpus = build_corpus(find_clips(table, clips=folder), root / "corpus", **reading)
    labels = {clip.name: clip.label for clip in read_vggsound(table, folder).clips}
    classes = [{labels[corpus.names[video]]} for video in corpus.videos]
    config = MiningConfig(exclude_same_video=True)
    shares = {}
    for name, model in models.items():
        features = mining_features(config, image=load_dino(model).features(corpus.frames))
        near = neighbour_table(features, config.neighbours, videos=corpus.videos)
        found = purity(near, classes)
        shares[name] = found["purity"]
    return {
        "clips": len(corpus.names),
        "frames": len(corpus.frames),
        "neighbours": config.neighbours,
        "chance": found["chance"],
        "share": shares,
    }


def main() -> None:
    """Measure, and write the result into the card."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", action="append", required=True, help="NAME or TITLE=FOLDER; may be given again")
    parser.add_argument("--clips", type=int, default=280)
    parser.add_argument("--work", type=Path, default=Path(".cache/dino-sharing"))
    parser.add_argument("--card", type=Path, help="folder of the model whose card is to tell it")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    models = {given.partition("=")[0]: given.rpartition("=")[2] for given in options.model}
    sharing = measure_sharing(models, options.work, clips=options.clips, workers=options.workers)
    print(json.dumps(sharing, indent=1))
    if options.card is not None:
        path = options.card / "training.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"sharing": sharing}, indent=1) + "\n")
        write_dino_card(options.card)


if __name__ == "__main__":
    main()
