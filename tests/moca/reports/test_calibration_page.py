"""The page about a calibration: complete in itself, and true to the record."""

import re

import numpy as np
import pytest

from moca.calibration.collecting import Collected, VideoScores
from moca.calibration.fitting import fit
from moca.calibration.pairs import MATCHING, NOISE, SILENT, SWAPPED
from moca.calibration.running import Calibrated
from moca.calibration.scoring import PairScores
from moca.pipeline.calibration_file import Calibration
from moca.reports.calibration import render_calibration, write_calibration_report
from moca.reports.roc import draw_roc
from moca.segmentation.config import SegmentConfig


class Scorer:
    gates, config, fingerprints = ("gate",), SegmentConfig(), {"encoder": "abc<1>"}
    by_crops, levels = False, True


@pytest.fixture
def calibrated():
    generator = np.random.default_rng(0)

    def scores(mean, count=60):
        values = np.clip(generator.normal(mean, 0.2, (count, 1)), -1, 1)
        return PairScores(values, np.repeat(values, 4, axis=1).reshape(-1, 2, 2).astype(np.float32))

    silent = PairScores(np.full((1, 1), -np.inf), np.zeros((0, 0, 0), np.float32))
    kinds = {MATCHING: scores(0.6), SWAPPED: scores(0.2), NOISE: scores(0.1), SILENT: silent}
    video = VideoScores(name="v", content="c", sounding=60, parts={"segment": kinds, "frozen_segment": kinds})
    collected = Collected(videos=[video], without_sound=["<still>"], broken={"bad": "it is cut <off>."})
    fitted = {name: fit(name, Scorer(), collected, 0.05) for name in ("segment", "frozen_segment")}
    data = {
        "videos": 1, "frames": 60, "offscreen_videos": 0, "without_sound": ["<still>"],
        "broken": {"bad": "it is cut <off>."}, "fingerprint": "d" * 16,
    }  # fmt: skip
    record = Calibration(
        model="<mini>", rate=0.05, data=data, segment=fitted["segment"].part,
        frozen_segment=fitted["frozen_segment"].part,
    )  # fmt: skip
    return Calibrated(record=record, fitted=fitted, collected=collected, notes=("mind the <gap>",))


def test_the_page_says_what_was_found(calibrated, tmp_path):
    write_calibration_report(tmp_path / "deep" / "c.html", calibrated)
    page = (tmp_path / "deep" / "c.html").read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>") and page.endswith("</html>\n")
    part = calibrated.record.segment
    for words in (
        "The model as it is", "without its adapters", "swapped", "noise", "silent", "mind the &lt;gap&gt;",
        f"{part.settings.gate:.4f}", f"AUC {part.areas['swapped']:.3f}", "&lt;still&gt;", "it is cut &lt;off&gt;.",
        "abc&lt;1&gt;", "may be of the very kind", f"{100 * part.chosen.recall:.1f} % of 60",
    ):  # fmt: skip
        assert words in page, words
    assert page.count("<svg") == 2 and not re.search(r"<script|https?://|src=\"(?!data:)|<mini>|<gap>", page)
    assert "Videos that were left out" in page


def test_a_line_runs_from_the_strictest_gate_to_the_most_lenient():
    recall, rates = np.array([1.0, 0.5, 0.25]), np.array([0.5, 0.25, 0.0])
    svg = draw_roc(recall, {"noise": rates}, {"noise": 0.9}, (0.25, 0.5))
    (path,) = re.findall(r'<path class="line kind0" d="M([^"]*)"', svg)
    corners = [tuple(map(float, corner.split())) for corner in path.split(" L")]
    left, side, base = corners[0][0], corners[-1][0] - corners[0][0], corners[0][1]
    shares = [((x - left) / side, (base - y) / side) for x, y in corners]
    assert shares == [pytest.approx(pair, abs=1e-3) for pair in ((0, 0), (0, 0.25), (0.25, 0.5), (0.5, 1), (1, 1))]
    assert "noise: AUC 0.900" in svg and "50.0 % of the own sounds pass and 25.0 % of the others" in svg


def test_a_long_curve_has_few_corners():
    rates = np.linspace(1, 0, 5000)
    svg = draw_roc(rates, {"noise": rates}, {"noise": 0.5}, (0.1, 0.1))
    assert 300 < svg.count(" L") < 500


def test_nothing_left_out_is_not_shown(calibrated):
    calibrated.record.data.update(without_sound=[], broken={})
    assert "left out" not in render_calibration(calibrated)
