"""Whatever is given instead of a video is refused in one line, by every door, and nothing is written."""

import os
import re
import warnings
import wave
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import get_ident

import numpy as np
import pytest
from PIL import Image

from moca.errors import InputError
from moca.media import CutOffWarning, probe, read_steps, render_video
from moca.media.moment import read_moment

GIVE = "give a video file such as mp4, mkv, webm, mov or avi."
TIMES = [125 * k for k in range(64)]


def refusals(path, **streams) -> set[str]:
    """The messages of all three doors; the renderer must leave the folder as it was."""
    folder = Path(path).parent
    before = sorted(os.listdir(folder)) if folder.is_dir() else None
    messages = set()
    for door in (probe, read_steps, lambda p, **s: render_video(p, folder / "out.mp4", None, **s)):
        with pytest.raises(InputError) as caught:
            door(path, **streams)
        messages.add(str(caught.value))
    assert before is None or sorted(os.listdir(folder)) == before
    return messages


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_missing_folder_empty(here):
    (here / "clips").mkdir()
    (here / "empty.mp4").touch()
    assert refusals("none.mp4") == {f"none.mp4 does not exist; {GIVE}"}
    assert refusals("./clips") == {f"./clips is a folder, not a video; {GIVE}"}
    assert refusals("empty.mp4") == {f"empty.mp4 is empty (0 bytes); {GIVE}"}


def test_text_and_pictures(here):
    (here / "clip.mp4").write_text("not a video\n" * 50)
    (here / "notes.txt").write_text("not a video\n" * 50)
    (here / "noise.mp4").write_bytes(np.random.default_rng(0).bytes(5_000))
    Image.new("RGB", (8, 8)).save(here / "cat.png")
    Image.new("RGB", (8, 8)).save(here / "cat.jpg")
    unreadable = "is not a video that can be read (Invalid data found when processing input)"
    assert refusals("clip.mp4") == {f"clip.mp4 {unreadable}; {GIVE}"}
    assert refusals("noise.mp4") == {f"noise.mp4 {unreadable}; {GIVE}"}
    assert refusals("notes.txt") == {f"notes.txt is text, not a video; {GIVE}"}
    for name in ("cat.png", "cat.jpg"):
        assert refusals(name) == {f"{name} is a picture, not a video; {GIVE}"}


def test_sound_alone_and_sound_with_a_cover_picture(here):
    import av

    with wave.open("song.wav", "wb") as song:
        song.setparams((1, 2, 16_000, 0, "NONE", ""))
        song.writeframes(bytes(32_000))
    assert refusals("song.wav") == {f"song.wav has no video stream, only audio; {GIVE}"}

    Image.new("RGB", (16, 16), "red").save("cover.png")
    with av.open("cover.png") as source, av.open("song.wav") as song, av.open("song.flac", "w") as target:
        sound = target.add_stream("flac", rate=16_000)
        sound.layout = "mono"
        picture = target.add_stream_from_template(source.streams.video[0], opaque=True)
        picture.disposition = av.stream.Disposition.attached_pic
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = picture
                target.mux(packet)
        for frame in song.decode(audio=0):
            target.mux(sound.encode(frame))
        target.mux(sound.encode(None))
    with av.open("song.flac") as song:
        assert len(song.streams.video) == 1  # there is a picture that could have been taken for a video
    assert refusals("song.flac") == {f"song.flac has no video stream, only audio; {GIVE}"}


def test_cut_before_the_index(here, clips):
    whole = clips.write_clip(here / "whole.mp4", TIMES, rate=8).read_bytes()
    (here / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    assert refusals("cut.mp4") == {
        f"cut.mp4 is not a video that can be read (Invalid data found when processing input); {GIVE}"
    }


def test_cut_before_the_first_frame(here, clips):
    options = {"movflags": "+faststart"}
    whole = clips.write_clip(here / "whole.mp4", TIMES, rate=8, options=options).read_bytes()
    (here / "cut.mp4").write_bytes(whole[: whole.index(b"mdat") + 40])
    (message,) = refusals("cut.mp4")
    assert message.startswith("cut.mp4 has no video frame that can be decoded (")
    assert message.endswith("); the file is damaged or cut off, give another copy.")


@pytest.mark.parametrize("name", ["whole.mp4", "whole.mkv"])
def test_cut_in_the_middle_is_read_as_far_as_it_goes(here, clips, name):
    options = {"movflags": "+faststart"} if name.endswith("mp4") else {}
    whole = clips.write_clip(here / name, TIMES, rate=8, options=options).read_bytes()
    start = whole.index(b"mdat") if name.endswith("mp4") else 0
    cut = here / f"cut{name[5:]}"
    cut.write_bytes(whole[: start + (len(whole) - start) // 2])
    with pytest.warns(UserWarning, match=r"^cut\.\w+ ends at \d\.\d s although it declares 8\.0 s; it is cut off"):
        steps = list(read_steps(cut.name))
    assert 1 <= len(steps) < 8
    assert [clips.decoded(step.frame) for step in steps[:-1]] == [4 + 8 * k for k in range(len(steps) - 1)]
    render_video(cut.name, "out.mp4", lambda frame, time_s: frame)
    assert probe("out.mp4").duration_s == pytest.approx(steps[-1].end_s, abs=0.3)


def test_damage_in_the_middle_is_passed_over(here, clips):
    path = clips.write_clip(here / "clip.mkv", TIMES, rate=8, codec="ffv1")  # every frame stands alone
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 200] = bytes(200)
    path.write_bytes(data)
    steps = list(read_steps("clip.mkv"))
    found = [clips.decoded(step.frame) for step in steps]
    assert len(steps) == 8
    assert sum(number == 4 + 8 * k for k, number in enumerate(found)) >= 6


def test_a_stream_that_is_not_there(here, clips):
    track = clips.Track(samples=clips.clicks(1, 16_000, 0.5))
    clips.write_clip(here / "clip.mkv", TIMES[:8], rate=8, tracks=(track, track), videos=2)
    clips.write_clip(here / "mute.mkv", TIMES[:8], rate=8)
    assert refusals("clip.mkv", video_stream=2) == {"clip.mkv has no video stream 2; choose one of 0, 1."}
    assert refusals("clip.mkv", audio_stream=0) == {"clip.mkv has no audio stream 0; choose one of 2, 3."}
    assert refusals("mute.mkv", audio_stream=1) == {
        "mute.mkv has no audio stream at all, got audio_stream 1; leave it out."
    }


def test_names_that_look_like_addresses_or_patterns(here, clips):
    for name in ("a:b.mp4", "100%d.mp4", "früh, [1].mp4"):
        clips.write_clip(here / "clip.mp4", TIMES[:8], rate=8)
        os.replace("clip.mp4", name)
        assert probe(name).width == 64
        assert len(list(read_steps(name))) == 1


def test_libav_says_nothing_on_its_own(here, clips, capfd):
    (here / "clip.mp4").write_text("not a video\n" * 50)
    refusals("clip.mp4")
    list(read_steps(clips.write_clip(here / "good.mp4", TIMES[:8], rate=8)))
    assert capfd.readouterr() == ("", "")


def cut_in_half(here, clips):
    whole = clips.write_clip(here / "whole.mkv", TIMES, rate=8).read_bytes()
    (here / "cut.mkv").write_bytes(whole[: len(whole) // 2])
    return "cut.mkv"


def test_who_is_told_that_a_file_is_cut_off_may_be_chosen(here, clips, recwarn):
    path, told = cut_in_half(here, clips), []
    steps = list(read_steps(path, on_cut_off=told.append))
    moment = read_moment(path, 7.5, on_cut_off=told.append)
    (sentence, other) = told
    assert sentence == other and re.fullmatch(
        r"cut\.mkv ends at \d\.\d s although it declares 8\.0 s; it is cut off or damaged\.", sentence
    )
    assert len(steps) < 8 and moment.end_s == steps[-1].end_s
    assert not recwarn.list
    with pytest.warns(CutOffWarning, match=re.escape(sentence)):
        read_moment(path, 7.5)
    read_moment(path, 0.5, on_cut_off=told.append)  # what comes later is not looked at
    list(read_steps("whole.mkv", on_cut_off=told.append))
    assert len(told) == 2


def test_an_error_of_who_is_told_ends_the_reading(here, clips):
    def refuse(sentence):
        raise InputError(sentence)

    with pytest.raises(InputError, match="it is cut off or damaged"):
        list(read_steps(cut_in_half(here, clips), on_cut_off=refuse))


def test_threads_are_each_told_of_their_own_file(here, clips):
    path, before = cut_in_half(here, clips), list(warnings.filters)

    def read(number):
        told = []
        list(read_steps("whole.mkv" if number % 2 else path, on_cut_off=lambda text: told.append(get_ident())))
        return told == ([] if number % 2 else [get_ident()]) and list(warnings.filters) == before

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(read, range(16)))
