"""The recipes run from nothing to a loadable model, and the encoder's run can be stopped and resumed."""

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

import moca
from recipes import readme_results, train_mini_adapters, train_mini_imagebind
from recipes.stage_pairs import ENCODER_MIX, PairsConfig, draw_pairs, heard_classes

MIX = tuple(ENCODER_MIX.items())

ENDS = ("", "_low", "_high")


@pytest.fixture
def pairs(tmp_path):
    return draw_pairs(PairsConfig(count=40, split="t", mix=MIX), tmp_path / "pairs", workers=1)


def test_pairs_are_drawn_once_and_splits_differ(tmp_path, pairs):
    again = draw_pairs(PairsConfig(count=40, split="t", mix=MIX), tmp_path / "pairs", workers=1)
    other = draw_pairs(PairsConfig(count=40, split="u", mix=MIX), tmp_path / "pairs", workers=1)
    assert pairs.frames.shape == (40, 112, 112, 3) and pairs.waves.shape == (40, 16_000)
    np.testing.assert_array_equal(pairs.frames, again.frames)
    assert not any((pairs.frames[i] == other.frames[j]).all() for i in range(40) for j in range(40))
    rows = np.flatnonzero(pairs.kinds == "single")[:3]
    assert all(len(heard) == 1 for heard in heard_classes(PairsConfig(count=40, split="t", mix=MIX), rows))


def test_several_processes_draw_the_same(tmp_path, pairs):
    other = draw_pairs(PairsConfig(count=40, split="t", mix=MIX), tmp_path / "two", workers=2)
    np.testing.assert_array_equal(pairs.frames, other.frames)
    np.testing.assert_array_equal(pairs.waves, other.waves)


def test_from_nothing_to_a_model_that_segments(tmp_path, monkeypatch):
    out, cache = tmp_path / "mini", str(tmp_path / "pairs")
    common = ["--cache", cache, "--frames", "96", "--held-out", "80", "--steps", "2", "--workers", "1"]
    monkeypatch.setattr(sys, "argv", ["x", "-o", str(out / "imagebind"), "--work", str(tmp_path / "work"), *common])
    train_mini_imagebind.main()
    work = ["--work", str(tmp_path / "adapters-work")]
    monkeypatch.setattr(sys, "argv", ["x", "-o", str(out), *work, *common, "--seeds", "0,1"])
    train_mini_adapters.main()
    segmenter = moca.Segmenter.load(out)
    assert segmenter.pipeline.adapted and -1 < segmenter.config.gate < 1
    card = (out / "adapters" / "README.md").read_text()
    assert "| frozen | own |" in card and " ± " in card
    assert "recall@1" in (out / "imagebind" / "README.md").read_text()


def test_figures_go_between_the_readmes_markers():
    text = f"a\n{readme_results.BEGIN}\nold\n{readme_results.END}\nb"
    assert readme_results.replace_between(text, "new") == text.replace("old", "new")
    with pytest.raises(SystemExit):
        readme_results.replace_between("no markers", "new")


def test_the_readmes_tables_are_those_that_were_measured(tmp_path):
    columns = [f"{name}{end}" for name in ("miou_batch4", "f_batch4", "f_batch_free", "mask_area") for end in ENDS]
    names = ["none", "muted", *(readme_results.FALSE + kind for kind in ("silence", "noise", "offscreen"))]
    for place, folder in enumerate(("s4", "ms3")):
        (tmp_path / "runs" / folder).mkdir(parents=True)
        lines = [",".join(["method", "control", *columns, "videos", "frames"])]
        for row, name in enumerate(names[: None if folder == "s4" else 2]):
            figures = [f"{(place + 1) / 10 + row / 100 + at / 1000:.6f}" for at in range(len(columns))]
            lines.append(",".join(["m", name, *figures, "7", "35"]))
        (tmp_path / "runs" / folder / "results.csv").write_text("\n".join(lines) + "\n")
        (tmp_path / "runs" / folder / "results.md").write_text("table")
    root = tmp_path / "results"
    root.mkdir()
    for name in ("bench_matching.json", "bench_fscore.json"):
        shutil.copyfile(Path(readme_results.__file__).parents[1] / "docs" / "results" / name, root / name)
    readme = tmp_path / "README.md"
    readme.write_text(f"a\n{readme_results.BEGIN}\nold\n{readme_results.END}\nb")
    given = ["x", "--runs", str(tmp_path / "runs"), "--results", str(root), "--readme", str(readme)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", given)
        readme_results.main()
    text = readme.read_text()
    assert "| own sound | 0.100 [0.101, 0.102] | 0.103 | 0.106 | 0.200 [0.201, 0.202] | 0.203 | 0.206 |" in text
    assert "| muted | 0.110 [0.111, 0.112] | 0.113 | 0.116 | 0.210 [0.211, 0.212] | 0.213 | 0.216 |" in text
    assert "| broad-band noise | 35 | 0.139 [0.140, 0.141] |" in text and "(7 S4-like, 7 MS3-like," in text
    assert (root / "ms3" / "results.md").read_text() == "table" and "\nold\n" not in text
