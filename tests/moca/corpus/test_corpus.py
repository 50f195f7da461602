"""The corpus: what is in it, what is broken, going on after a stop, being used again."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from scipy.io import wavfile

from moca.corpus import decoding as parts
from moca.corpus import storage
from moca.corpus.building import build_corpus
from moca.corpus.corpus import Corpus, corpus_from_arrays, read_corpus
from moca.corpus.finding import find_clips
from moca.corpus.sources import ReadingConfig, VideoSource
from moca.errors import InputError
from moca.media import read_steps, write_video

SIZE = 16
BROKEN = {"audio_only.mp4", "cut.mp4", "half_header.mp4", "text.mp4", "zero.mp4"}


def write_clip(path: Path, number: int) -> None:
    """Three seconds of one grey that tells the number, and a tone that does; every fourth without sound."""
    frames = [np.full((24, 32, 3), 10 + 20 * number, np.uint8)] * 12
    time = np.arange(48_000) / 16_000
    audio = 0.3 * np.sin(2 * np.pi * (300 + 100 * number) * time) if number % 4 else None
    write_video(path, frames, rate_hz=4, audio=audio, sample_rate_hz=16_000)


@pytest.fixture(scope="session")
def originals(tmp_path_factory) -> Path:
    """Twelve videos, 00.mp4 to 11.mp4, and five files that only look like videos."""
    folder = tmp_path_factory.mktemp("videos")
    for number in range(12):
        write_clip(folder / f"{number:02}.mp4", number)
    whole = (folder / "05.mp4").read_bytes()
    (folder / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    (folder / "half_header.mp4").write_bytes(whole[:200])
    (folder / "text.mp4").write_text("This is not a video.\n" * 40)
    (folder / "zero.mp4").write_bytes(b"")
    wavfile.write(folder / "audio_only.mp4", 16_000, np.zeros(16_000, np.int16))
    return folder


@pytest.fixture
def videos(originals, tmp_path) -> Path:
    """A copy, with the same times, that a test may change."""
    return Path(shutil.copytree(originals, tmp_path / "videos"))


@pytest.fixture
def decodes(monkeypatch) -> list[str]:
    """The names of the sources that are read in this process, in order."""
    calls: list[str] = []
    read = VideoSource.read

    def counted(source, reading):
        calls.append(source.name)
        return read(source, reading)

    monkeypatch.setattr(VideoSource, "read", counted)
    return calls


def build(videos: Path, out: Path, **keywords) -> Corpus:
    return build_corpus(find_clips(videos), out, **{"image_size": SIZE, **keywords})


def good(videos: Path) -> list[VideoSource]:
    return [source for source in find_clips(videos) if source.name not in BROKEN]


def refusal(call, *arguments, **keywords) -> str:
    with pytest.raises(InputError) as caught:
        call(*arguments, **keywords)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_rows_are_those_of_each_video_in_order(originals, tmp_path):
    corpus = build(originals, tmp_path / "out", steps_per_video=2)
    assert len(corpus) == 24 and corpus.names == tuple(f"{number:02}.mp4" for number in range(12))
    assert corpus.frames.shape == (24, SIZE, SIZE, 3) and corpus.waves.shape == (24, 16_000)
    assert corpus.videos.tolist() == [row // 2 for row in range(24)] and corpus.videos.dtype == np.int64
    assert corpus.times_s.tolist() == [0.5, 2.5] * 12 and corpus.sample_rate_hz == 16_000
    for row in range(24):
        number = row // 2
        assert abs(float(corpus.frames[row].mean()) - (10 + 20 * number)) < 3
        tone = np.abs(np.fft.rfft(corpus.sound(row))).argmax()
        assert tone == (300 + 100 * number if number % 4 else 0)


def test_rows_equal_a_naive_loop(originals, tmp_path):
    sources = good(originals)[:3]
    corpus = build_corpus(sources, tmp_path / "out", image_size=SIZE, step_s=0.5, sample_rate_hz=8000)
    row = 0
    for number, source in enumerate(sources):
        rows = source.read(ReadingConfig(image_size=SIZE, step_s=0.5, sample_rate_hz=8000))
        steps = list(read_steps(source.path, steps_per_s=2, sample_rate_hz=8000))
        for place, step in enumerate(steps):
            assert np.array_equal(corpus.frames[row], rows.frames[place])
            heard = np.zeros(4000) if step.audio is None else step.audio
            np.testing.assert_allclose(corpus.sound(row), heard, atol=0.51 / 32767)
            assert (corpus.videos[row], corpus.times_s[row]) == (number, step.frame_s)
            row += 1
    assert row == len(corpus) == 18


def test_sound_is_float32_in_range_for_any_choice_of_rows():
    waves = np.array([[-32768, 0, 32767], [1, 2, 3]], np.int16)
    corpus = corpus_from_arrays(np.zeros((2, SIZE, SIZE, 3), np.uint8), waves)
    assert corpus.sound(0).tolist() == [-1, 0, 1] and corpus.sound(0).dtype == np.float32
    assert corpus.sound(np.array([1, 0])).shape == (2, 3) and corpus.sound(slice(0, 1)).shape == (1, 3)


def test_exactly_the_broken_files_are_listed_once_each_with_a_reason(originals, tmp_path):
    out = tmp_path / "out"
    corpus = build(originals, out)
    assert {name for name, _ in corpus.broken} == BROKEN and len(corpus.broken) == len(BROKEN)
    with (out / "broken.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["video", "reason"] and [tuple(row) for row in rows] == list(corpus.broken)
    assert len((out / "broken.csv").read_text().splitlines()) == len(BROKEN) + 1
    reasons = dict(corpus.broken)
    assert reasons["zero.mp4"].startswith(f"{originals / 'zero.mp4'} is empty (0 bytes); ")
    assert reasons["audio_only.mp4"].startswith(f"{originals / 'audio_only.mp4'} has no video stream, only audio; ")
    assert "it is cut off or damaged: mend or replace it." in reasons["cut.mp4"]
    assert read_corpus(out).broken == corpus.broken


def test_a_build_leaves_three_files_and_broken_csv_only_where_needed(originals, tmp_path):
    build_corpus(good(originals), tmp_path / "out", image_size=SIZE)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["corpus.json", "frames.npy", "waves.npy"]


def test_arrays_are_memory_mapped_and_not_to_be_written(originals, tmp_path):
    corpus = build_corpus(good(originals)[:2], tmp_path / "out", image_size=SIZE)
    for array in (corpus.frames, corpus.waves):
        assert isinstance(array, np.memmap) and not array.flags.writeable


def test_the_same_build_has_the_same_fingerprint_and_another_has_another(originals, tmp_path):
    sources = good(originals)[:3]
    one = build_corpus(sources, tmp_path / "one", image_size=SIZE)
    assert one.fingerprint == build_corpus(sources, tmp_path / "two", image_size=SIZE).fingerprint
    assert len(one.fingerprint) == 16 and int(one.fingerprint, 16) >= 0
    others = [
        build_corpus(sources[::-1], tmp_path / "turned", image_size=SIZE),
        build_corpus(sources[:2], tmp_path / "fewer", image_size=SIZE),
        build_corpus(sources, tmp_path / "size", image_size=SIZE + 1),
        build_corpus(sources, tmp_path / "steps", image_size=SIZE, steps_per_video=1),
    ]
    assert len({one.fingerprint, *(other.fingerprint for other in others)}) == 5
    drawn = corpus_from_arrays(np.array(one.frames), np.array(one.waves), one.videos, names=one.names)
    assert drawn.fingerprint == one.fingerprint


@pytest.mark.parametrize("changed", ["frames", "waves", "videos"])
def test_the_fingerprint_follows_every_value(changed):
    generator = np.random.default_rng(0)
    arrays = {
        "frames": generator.integers(0, 256, (2000, 4, 4, 3), dtype=np.uint8),
        "waves": generator.integers(-9, 9, (2000, 5), dtype=np.int16),
        "videos": np.arange(2000) // 2,
    }
    before = corpus_from_arrays(**arrays).fingerprint
    assert corpus_from_arrays(**arrays).fingerprint == before
    if changed == "videos":
        arrays["videos"] = np.arange(2000) // 4
    else:
        arrays[changed].reshape(-1)[-1] += 1
    assert corpus_from_arrays(**arrays).fingerprint != before


class Stopped(Exception):
    pass


def stop_after(count: int):
    def progress(what: str, done: int, total: int) -> None:
        if done == count:
            raise Stopped

    return progress


def test_a_stopped_build_goes_on_and_decodes_nothing_twice(originals, tmp_path, decodes):
    out, sources = tmp_path / "out", good(originals)
    whole = build_corpus(sources, tmp_path / "whole", image_size=SIZE)
    decodes.clear()
    with pytest.raises(Stopped):
        build_corpus(sources, out, image_size=SIZE, progress=stop_after(5))
    assert decodes == [source.name for source in sources[:5]] and not (out / "corpus.json").exists()
    calls = []
    corpus = build_corpus(sources, out, image_size=SIZE, progress=lambda *call: calls.append(call))
    assert decodes == [source.name for source in sources]
    assert calls == [("reading videos", done, 12) for done in range(5, 13)]
    assert corpus.fingerprint == whole.fingerprint and (corpus.times_s == whole.times_s).all()
    assert sorted(path.name for path in out.iterdir()) == ["corpus.json", "frames.npy", "waves.npy"]


def test_a_build_stopped_while_joining_goes_on(originals, tmp_path, decodes, monkeypatch):
    out, sources = tmp_path / "out", good(originals)[:3]
    with monkeypatch.context() as patch:
        patch.setattr(storage, "write_json_whole", lambda path, value, indent: stop_after(1)("", 1, 1))
        with pytest.raises(Stopped):
            build_corpus(sources, out, image_size=SIZE)
    assert refusal(read_corpus, out).endswith("holds no finished corpus (no corpus.json); build one there first.")
    corpus = build_corpus(sources, out, image_size=SIZE)
    assert len(decodes) == 3 and len(corpus) == 9 and not (out / "parts").exists()


def test_a_part_that_is_damaged_or_half_written_is_made_again(originals, tmp_path, decodes):
    out, sources = tmp_path / "out", good(originals)[:4]
    with pytest.raises(Stopped):
        build_corpus(sources, out, image_size=SIZE, progress=stop_after(3))
    one, two, _ = sorted((out / "parts").glob("*.npz"))
    one.write_bytes(one.read_bytes()[:-200])
    two.rename(two.with_name(f".{two.stem}.77.partial.npz"))
    corpus = build_corpus(sources, out, image_size=SIZE)
    assert len(decodes) == 3 + 3 and not (out / "parts").exists()
    assert corpus.fingerprint == build_corpus(sources, tmp_path / "whole", image_size=SIZE).fingerprint


def test_a_finished_corpus_is_used_at_once_and_other_settings_are_not_mistaken_for_it(originals, tmp_path, decodes):
    out, calls = tmp_path / "out", []
    one = build(originals, out)
    count, times = len(decodes), {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
    again = build(originals, out, progress=lambda *call: calls.append(call))
    assert len(decodes) == count == 17 and calls == [("reading videos", 17, 17)]
    assert again.fingerprint == one.fingerprint
    assert {path.name: path.stat().st_mtime_ns for path in out.iterdir()} == times
    assert build(originals, out, steps_per_video=1).fingerprint != one.fingerprint and len(decodes) == 2 * count
    assert build(originals, out).fingerprint == one.fingerprint and len(decodes) == 3 * count


def test_only_what_changed_is_decoded_again(videos, tmp_path, decodes):
    out = tmp_path / "out"
    build(videos, out)
    decodes.clear()
    write_clip(videos / "03.mp4", 9)
    write_clip(videos / "zero.mp4", 2)
    (videos / "07.mp4").unlink()
    write_clip(videos / "new.mp4", 1)
    corpus = build(videos, out)
    assert decodes == ["03.mp4", "new.mp4", "zero.mp4"]
    assert {name for name, _ in corpus.broken} == BROKEN - {"zero.mp4"}
    assert corpus.fingerprint == build(videos, tmp_path / "anew").fingerprint


def test_another_order_alone_decodes_nothing(originals, tmp_path, decodes):
    sources = good(originals)[:3]
    build_corpus(sources, tmp_path / "out", image_size=SIZE)
    turned = build_corpus(sources[::-1], tmp_path / "out", image_size=SIZE)
    assert len(decodes) == 3 and turned.names == ("02.mp4", "01.mp4", "00.mp4")
    assert [round((float(turned.frames[row].mean()) - 10) / 20) for row in (0, 3, 6)] == [2, 1, 0]


def test_broken_files_are_tried_again_when_asked(originals, tmp_path, decodes):
    one = build(originals, tmp_path / "out")
    decodes.clear()
    assert build(originals, tmp_path / "out", retry_broken=True).fingerprint == one.fingerprint
    assert set(decodes) == BROKEN


def test_a_mended_folder_has_no_broken_csv(videos, tmp_path):
    assert build(videos, tmp_path / "out").broken
    for name in BROKEN:
        (videos / name).unlink()
    assert build(videos, tmp_path / "out").broken == () and not (tmp_path / "out" / "broken.csv").exists()


def test_whatever_one_file_raises_the_others_go_on(originals, tmp_path, monkeypatch):
    read = VideoSource.read

    def failing(source, reading):
        if source.name == "01.mp4":
            raise RuntimeError("one\ntwo")
        return read(source, reading)

    monkeypatch.setattr(VideoSource, "read", failing)
    corpus = build_corpus(good(originals)[:3], tmp_path / "out", image_size=SIZE)
    assert corpus.broken == (("01.mp4", "it cannot be decoded (RuntimeError: one two); mend or replace it."),)
    assert corpus.names == ("00.mp4", "02.mp4") and corpus.videos.tolist() == [0, 0, 0, 1, 1, 1]


def test_a_full_disk_is_no_broken_video(originals, tmp_path, monkeypatch):
    def full(*arguments, **keywords):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(parts.np, "savez", full)
    with pytest.raises(OSError, match="No space left"):
        build_corpus(good(originals)[:2], tmp_path / "out", image_size=SIZE)
    assert list((tmp_path / "out" / "parts").iterdir()) == []


@dataclass(frozen=True, kw_only=True)
class Crashing(VideoSource):
    """A source that ends every process it is sent to, as a fault in a decoder would."""

    def __reduce__(self):
        return os._exit, (1,)


def test_neither_workers_nor_a_stop_change_the_rows_and_a_crash_costs_one_video(originals, tmp_path):
    sources = good(originals)[:4]
    alone = build_corpus(sources, tmp_path / "one", image_size=SIZE)
    with pytest.raises(Stopped):
        build_corpus(sources, tmp_path / "two", image_size=SIZE, workers=2, progress=stop_after(1))
    assert not (tmp_path / "two" / "corpus.json").exists()
    crash = Crashing(name="crash", path=sources[0].path)
    together = build_corpus([*sources[:2], crash, *sources[2:]], tmp_path / "two", image_size=SIZE, workers=2)
    assert together.fingerprint == alone.fingerprint and together.names == alone.names
    assert together.broken == (("crash", "its decoding ended the whole process; mend or replace it."),)


_KILLED = """
import os, signal, sys
from moca.corpus.building import build_corpus
from moca.corpus.finding import find_clips

def show_workers(what, done, total):
    import multiprocessing
    print(*(child.pid for child in multiprocessing.active_children()), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)

if __name__ == "__main__":
    build_corpus(find_clips(sys.argv[1]), sys.argv[2], image_size=16, workers=2, progress=show_workers)
"""


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc")
def test_workers_of_a_killed_build_end_and_what_is_finished_is_kept(originals, tmp_path):
    script = tmp_path / "killed.py"
    script.write_text(_KILLED)
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[3])}
    command = [sys.executable, str(script), str(originals), str(tmp_path / "out")]
    run = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, timeout=60)
    workers = [Path("/proc", pid) for pid in run.stdout.split()]
    assert run.returncode == -signal.SIGKILL and workers
    until = time.monotonic() + 20
    while any(map(_runs, workers)) and time.monotonic() < until:
        time.sleep(0.05)
    assert not any(map(_runs, workers))
    assert list((tmp_path / "out" / "parts").glob("*.npz"))


def _runs(process: Path) -> bool:
    """Whether it is there and no zombie (nobody may be there to fetch the exit code of an orphan)."""
    try:
        return process.joinpath("stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_processes_that_cannot_start_are_told_before_any_video_is_called_broken(originals, tmp_path, monkeypatch):
    class Dead(parts.ProcessPoolExecutor):
        def submit(self, *arguments):
            raise BrokenProcessPool

    monkeypatch.setattr(parts, "ProcessPoolExecutor", Dead)
    assert refusal(build_corpus, good(originals), tmp_path / "out", image_size=SIZE, workers=2) == (
        "more than one worker needs processes that can start, and they do not; call from under "
        "if __name__ == '__main__': or pass workers=1."
    )
    assert not (tmp_path / "out" / "broken.csv").exists()


def test_all_broken_is_refused_and_listed(originals, tmp_path):
    sources = [source for source in find_clips(originals) if source.name in {"text.mp4", "zero.mp4"}]
    out = tmp_path / "out"
    assert refusal(build_corpus, sources[::-1], out, image_size=SIZE) == (
        f"at least one video must be usable, all 2 are broken (see {out / 'broken.csv'}), the first: "
        f"{originals / 'zero.mp4'} is empty (0 bytes); give a video file such as mp4, mkv, webm, mov or avi."
    )
    assert [path.name for path in out.iterdir()] == ["broken.csv"]


def test_a_file_that_has_gone_is_broken_and_comes_back(videos, tmp_path):
    sources = good(videos)[:2]
    sources[0].path.rename(tmp_path / "away.mp4")
    corpus = build_corpus(sources, tmp_path / "out", image_size=SIZE)
    assert [name for name, _ in corpus.broken] == ["00.mp4"] and " does not exist; " in corpus.broken[0][1]
    (tmp_path / "away.mp4").rename(sources[0].path)
    assert build_corpus(sources, tmp_path / "out", image_size=SIZE).names == ("00.mp4", "01.mp4")


def test_refusals_change_nothing(originals, tmp_path):
    sources, out = good(originals)[:2], tmp_path / "out"
    assert refusal(build_corpus, [], out, image_size=SIZE) == (
        "a corpus needs at least one source, got 0; take them from find_clips."
    )
    assert refusal(build_corpus, [sources[0], sources[0]], out, image_size=SIZE) == (
        "every source must have a name of its own, got '00.mp4' twice; rename one."
    )
    assert refusal(build_corpus, sources, out, image_size=SIZE, workers=0) == (
        "--workers must be a whole number between 1 and 256, got 0; give for example 2."
    )
    assert refusal(build_corpus, sources, out, image_size=4) == (
        "image_size must be a whole number between 16 and 2048 pixels, got 4; change it."
    )
    assert not out.exists()
    out.write_text("a file")
    for folder in (out, out / "in"):
        assert refusal(build_corpus, sources, folder, image_size=SIZE) == (
            f"{out} must be a folder, it is a file; choose another with -o."
        )
    assert out.read_text() == "a file"


@pytest.mark.parametrize("name", ["frames.npy", "waves.npy"])
def test_files_from_elsewhere_are_not_replaced(originals, tmp_path, name):
    (tmp_path / name).write_bytes(b"mine")
    assert refusal(build_corpus, good(originals), tmp_path, image_size=SIZE) == (
        f"{tmp_path} already has {name} from elsewhere; choose another folder."
    )
    assert [path.name for path in tmp_path.iterdir()] == [name] and (tmp_path / name).read_bytes() == b"mine"


def test_other_files_in_a_folder_called_parts_stay(originals, tmp_path):
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "mine.npz").write_bytes(b"mine")
    build_corpus(good(originals)[:1], tmp_path, image_size=SIZE)
    assert [path.name for path in (tmp_path / "parts").iterdir()] == ["mine.npz"]


def test_reading_refuses_what_is_no_corpus(originals, tmp_path):
    assert refusal(read_corpus, tmp_path) == (
        f"{tmp_path} holds no finished corpus (no corpus.json); build one there first."
    )
    build_corpus(good(originals)[:2], tmp_path, image_size=SIZE)
    path = tmp_path / "corpus.json"
    stored = json.loads(path.read_text())
    path.write_text(json.dumps(stored | {"format": 2}))
    assert refusal(read_corpus, tmp_path) == f"{path} must have format 1, it has 2; choose another folder."
    for text in ("{", "[]", "{}", '{"format": 1}', json.dumps(stored | {"videos": [3]}),
                 json.dumps(stored | {"settings": {"image_size": 3}})):  # fmt: skip
        path.write_text(text)
        wanted = f"{path} must be what build_corpus writes, it cannot be understood; choose another folder."
        assert refusal(read_corpus, tmp_path) == wanted
        assert refusal(build_corpus, good(originals), tmp_path, image_size=SIZE) == wanted
    path.write_text(json.dumps(stored))
    np.save(tmp_path / "waves.npy", np.zeros((3, 16_000), np.int16))
    assert refusal(read_corpus, tmp_path) == (
        f"{tmp_path} holds a damaged corpus (waves must be (6, samples) int16, a row for every frame, got (3, 16000) "
        "int16); delete frames.npy, waves.npy, corpus.json and build it again."
    )


def test_a_pickle_is_not_loaded(originals, tmp_path):
    build_corpus(good(originals)[:1], tmp_path, image_size=SIZE)
    np.save(tmp_path / "waves.npy", np.array([{}], object), allow_pickle=True)
    assert "holds a damaged corpus (" in refusal(read_corpus, tmp_path)


FRAMES, WAVES = np.zeros((4, SIZE, SIZE, 3), np.uint8), np.zeros((4, 10), np.int16)


def test_arrays_become_a_corpus_without_a_copy():
    corpus = corpus_from_arrays(FRAMES, WAVES, np.array([0, 0, 1, 1], np.int32), times_s=[0.5, 1.5, 0.5, 1.5])
    assert corpus.frames is FRAMES and corpus.waves is WAVES and corpus.videos.dtype == np.int64
    assert corpus.names == ("0", "1") and corpus.times_s.tolist() == [0.5, 1.5, 0.5, 1.5] and len(corpus) == 4
    single = corpus_from_arrays(FRAMES, WAVES, sample_rate_hz=8000)
    assert single.videos.tolist() == [0, 1, 2, 3] and single.sample_rate_hz == 8000 and not single.times_s.any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((FRAMES[:0], WAVES[:0]),
         "frames must be (N, S, S, 3) uint8 with N and S above 0, got (0, 16, 16, 3) uint8."),
        ((FRAMES[:, :8], WAVES), "frames must be (N, S, S, 3) uint8 with N and S above 0, got (4, 8, 16, 3) uint8."),
        ((FRAMES.astype(float), WAVES),
         "frames must be (N, S, S, 3) uint8 with N and S above 0, got (4, 16, 16, 3) float64."),
        ((FRAMES, WAVES[:3]), "waves must be (4, samples) int16, a row for every frame, got (3, 10) int16."),
        ((FRAMES, WAVES / 2), "waves must be (4, samples) int16, a row for every frame, got (4, 10) float64."),
        ((FRAMES, WAVES, np.zeros(3, int)), "videos must be (4,) int64, one for every frame, got (3,) int64."),
        ((FRAMES, WAVES, np.zeros(4)), "videos must be (4,) int64, one for every frame, got (4,) float64."),
        ((FRAMES, WAVES, [0, 1, 0, 1]),
         "videos must count up from 0 to 1, one number for every name and the rows of a video adjacent, got 0 1 0 1; "
         "sort the rows by video."),
        ((FRAMES, WAVES, [1, 1, 2, 2]),
         "videos must count up from 0 to 1, one number for every name and the rows of a video adjacent, got 1 2; "
         "sort the rows by video."),
    ],
)  # fmt: skip
def test_arrays_that_do_not_fit_are_refused(arguments, message):
    assert refusal(corpus_from_arrays, *arguments) == message


def test_times_and_names_must_fit_too():
    videos = np.array([0, 0, 1, 1])
    assert refusal(corpus_from_arrays, FRAMES, WAVES, videos, times_s=np.zeros(3)) == (
        "times_s must be (4,) float64, one for every frame, got (3,) float64."
    )
    assert refusal(corpus_from_arrays, FRAMES, WAVES, videos, times_s=[2, 1, 0, 1]) == (
        "times_s must not fall within a video; sort the rows of each video by time."
    )
    assert refusal(corpus_from_arrays, FRAMES, WAVES, videos, names=["a"]).startswith(
        "videos must count up from 0 to 0, one number for every name"
    )


def test_two_that_build_in_one_folder_at_once_decode_every_video_once(originals, tmp_path, decodes):
    sources, corpora = good(originals)[:6], []
    expected = build_corpus(sources, tmp_path / "alone", image_size=SIZE).fingerprint
    decodes.clear()
    start = threading.Barrier(2, timeout=30)

    def work() -> None:
        start.wait()
        corpora.append(build_corpus(sources, tmp_path / "out", image_size=SIZE).fingerprint)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert corpora == [expected, expected] and sorted(decodes) == [source.name for source in sources]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["corpus.json", "frames.npy", "waves.npy"]
