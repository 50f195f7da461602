"""Videos to scores of pairs: what is read, what is swapped, what is kept."""

import numpy as np
import pytest

from moca.calibration.collecting import collect, remove_kept
from moca.calibration.config import CalibrationConfig
from moca.calibration.pairs import MATCHING, NOISE, OFFSCREEN, SILENT, SWAPPED

CONFIG = CalibrationConfig(frames=40)


def gathered(fakes, videos, keep, *, scorers=None, config=CONFIG, **more):
    return collect(scorers or {"segment": fakes.Scorer()}, videos, fakes.reading, config, keep, **more)


def same(one, two) -> bool:
    kinds = (MATCHING, SWAPPED, NOISE, SILENT)
    return one.fingerprint == two.fingerprint and all(
        np.array_equal(a, b)
        for kind in kinds
        for a, b in zip(one.of("segment", kind), two.of("segment", kind), strict=True)
    )


def test_every_frame_is_scored_with_every_sound(fakes, tmp_path):
    found = gathered(fakes, fakes.videos(10), tmp_path)
    counts = {kind: len(found.of("segment", kind).scores) for kind in (MATCHING, SWAPPED, NOISE, SILENT)}
    assert counts == {MATCHING: 40, SWAPPED: 36, NOISE: 40, SILENT: 10}
    assert found.of("segment", OFFSCREEN) is None and found.sounding == 40
    assert found.of("segment", MATCHING).scores == pytest.approx(1)  # the tone is the frame's own
    assert found.of("segment", SWAPPED).scores.max() <= 1 / (1 + 15 / 4) + 1e-9
    assert np.isneginf(found.of("segment", SILENT).scores).all()
    assert found.of("segment", MATCHING).agreement.shape == (40, 2, 2)


def test_the_swapped_sound_is_the_last_videos_and_silent_ones_have_none_to_give(fakes, tmp_path):
    videos = [fakes.Video(name=str(n), number=30 * n, heard=0 if n == 3 else None) for n in (1, 2, 3, 4)]
    seen = []

    class Listening(fakes.Scorer):
        def score(self, steps):
            seen.extend((int(step.frame[0, 0, 0]), int(np.abs(np.fft.rfft(step.audio)).argmax())) for step in steps)
            return super().score(steps)

    found = gathered(fakes, videos, tmp_path, scorers={"segment": Listening()})
    order = [int(video.name) * 30 for video in found.videos]
    assert found.without_sound == ["3"] and sorted(order) == [30, 60, 120]
    assert {pair for pair in seen if pair[0] != pair[1]} >= set(zip(order[1:], order[:-1], strict=True))
    assert len(found.of("segment", SWAPPED).scores) == 8


def test_only_as_many_videos_are_read_as_are_needed(fakes, tmp_path):
    videos = fakes.videos(12)
    found = gathered(fakes, videos, tmp_path, config=CalibrationConfig(frames=20))
    assert found.sounding == 20 and sum(bool(video.reads) for video in videos) == 5
    other = gathered(fakes, fakes.videos(12), tmp_path, config=CalibrationConfig(frames=20, seed=1))
    assert [video.name for video in other.videos] != [video.name for video in found.videos]


def test_broken_videos_are_listed_and_passed_over(fakes, tmp_path):
    videos = [*fakes.videos(5), fakes.Video(name="bad", number=1, broken=True)]
    found = gathered(fakes, videos, tmp_path)
    assert found.broken == {"bad": "bad cannot be decoded: mend or replace it."} and len(found.videos) == 5


def test_offscreen_videos_are_negatives_with_their_own_sound(fakes, tmp_path):
    others = [fakes.Video(name=f"v{n}", number=200, heard=40 + n) for n in range(3)]  # named like the first ones
    found = gathered(fakes, fakes.videos(5), tmp_path, offscreen=others)
    assert len(found.of("segment", OFFSCREEN).scores) == 12 and found.sounding == 20
    assert found.of("segment", OFFSCREEN).scores.max() < 0.1
    assert found.fingerprint != gathered(fakes, fakes.videos(5), tmp_path).fingerprint


def test_a_stopped_run_goes_on_and_ends_with_the_same_scores(fakes, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        gathered(fakes, fakes.videos(10), tmp_path / "a", scorers={"segment": fakes.Scorer(stop_after=4)})
    kept = len(list((tmp_path / "a").iterdir()))
    scorer, videos = fakes.Scorer(), fakes.videos(10)
    resumed = gathered(fakes, videos, tmp_path / "a", scorers={"segment": scorer})
    whole = fakes.Scorer()
    assert same(resumed, gathered(fakes, fakes.videos(10), tmp_path / "b", scorers={"segment": whole}))
    assert 1 <= kept < 10 and len(scorer.calls) < len(whole.calls)
    assert sum(len(video.reads) for video in videos) == 10 - kept + 1  # and the one whose sound is swapped in


@pytest.mark.parametrize(
    "change",
    [
        {"config": CalibrationConfig(frames=40, seed=2)},
        {"scorers": lambda fakes: {"segment": fakes.Scorer(fingerprints={"encoder": "other"})}},
        {"scorers": lambda fakes: {"segment": fakes.Scorer(gates=("gate", "gate_frozen"))}},
    ],
)
def test_scores_of_other_settings_and_models_are_not_taken(fakes, tmp_path, change):
    gathered(fakes, fakes.videos(4), tmp_path)
    change = {name: value(fakes) if callable(value) else value for name, value in change.items()}
    scorer = change.get("scorers", {"segment": fakes.Scorer()})["segment"]
    gathered(fakes, fakes.videos(4), tmp_path, **{**change, "scorers": {"segment": scorer}})
    assert scorer.calls


def test_a_damaged_file_is_scored_again_and_a_whole_one_is_not(fakes, tmp_path):
    first = gathered(fakes, fakes.videos(4), tmp_path)
    damaged = sorted(tmp_path.iterdir())[0]
    damaged.write_bytes(damaged.read_bytes()[:100])
    videos = fakes.videos(4)
    assert same(first, gathered(fakes, videos, tmp_path)) and 1 <= sum(bool(video.reads) for video in videos) <= 2
    videos = fakes.videos(4)
    assert same(first, gathered(fakes, videos, tmp_path)) and not any(video.reads for video in videos)
    remove_kept(tmp_path)
    assert not tmp_path.exists()


def test_progress_counts_videos_to_the_end(fakes, tmp_path):
    told = []
    gathered(fakes, fakes.videos(12), tmp_path, progress=lambda *what: told.append(what))
    assert [done for _, done, _ in told] == list(range(1, 11)) and told[-1] == ("scoring matching pairs", 10, 10)
    assert all(done < total for _, done, total in told[:-1])
