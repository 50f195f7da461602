"""No frame of one named split is a frame of another."""

import ast
from itertools import combinations
from pathlib import Path

from recipes.stage_pairs import PairsConfig, tasks_of

ROOT = Path(__file__).resolve().parents[2]
KINDS, PARTS = ("s4", "ms3", "silent", "noise", "offscreen"), ("train", "val", "validation", "test")
NAMES = {
    *(f"{what}-{part}" for what in ("encoder", "adapters", "dino", "twin", "baselines", "learning") for part in PARTS),
    *(f"{what}-{part}-{kind}" for what in ("learning", "proposals") for part in PARTS for kind in KINDS),
}


def literal_names() -> set[str]:
    """Names of splits that recipes and studies spell out."""
    names = set()
    for folder in ("recipes", "benchmarks"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    head, _, end = node.value.partition("-")
                    names |= {node.value} if head.isalpha() and end.split("-")[0] in PARTS else set()
    return names


def seeds(split: str, seed: int = 0) -> set[int]:
    return {drawn for drawn, _, _ in tasks_of(PairsConfig(count=4_000, split=split, seed=seed))}


def test_every_named_split_is_disjoint_from_every_other():
    names = sorted(NAMES | literal_names())
    assert {"encoder-train", "dino-test", "baselines-val", "twin-test"} <= literal_names()
    drawn = {name: seeds(name) for name in names}
    assert [(one, two) for one, two in combinations(names, 2) if drawn[one] & drawn[two]] == []


def test_names_with_a_common_end_and_seeds_of_one_name_have_streams_of_their_own():
    assert not seeds("proposals-val-ms3") & seeds("proposals-test-ms3")
    assert not seeds("encoder-train") & seeds("encoder-train", seed=1)
    assert seeds("encoder-train") == seeds("encoder-train")  # it could have been random
