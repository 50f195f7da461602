"""A whole run on a tiny random encoder and tiny videos, and what is refused before anything is written."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from moca.adapters import AdapterError, load_adapters
from moca.errors import InputError
from moca.foundation.catalogue import CATALOGUE
from moca.media import write_video
from moca.mining import MiningConfig
from moca.pipeline.encoder import load_encoder
from moca.pipeline.loading import load_pipeline
from moca.segmenter import Segmenter
from moca.training.config import LabelConfig, TrainConfig
from moca.training.folder import read_run
from moca.training.loop import Interrupted
from moca.training.run import make_towers, train_run

CONFIG = TrainConfig(
    steps=4, batch=4, warmup=1, blocks=2, checkpoint_every=2, labels=LabelConfig(alike=2, unlike=2, refine=False)
)
MATCHING = replace(CONFIG, matching=1.0, distillation=0.0, readout="cosine", mining=MiningConfig(neighbours=3))


@pytest.fixture(scope="module")
def videos(tmp_path_factory) -> Path:
    """Six videos of three seconds, and two that only look like videos."""
    folder = tmp_path_factory.mktemp("videos")
    for number in range(6):
        generator = np.random.default_rng(number)
        frames = generator.integers(0, 256, (12, 24, 32, 3), dtype=np.uint8)
        audio = 0.3 * np.sin(np.arange(48_000) / (5 + number))
        write_video(folder / f"{number}.mp4", iter(frames), rate_hz=4, audio=audio, sample_rate_hz=16_000)
    (folder / "text.mp4").write_text("not a video")
    (folder / "zero.mp4").touch()
    return folder


def refusal(kind, *arguments, **keywords) -> str:
    with pytest.raises(kind) as caught:
        train_run(*arguments, device="cpu", **keywords)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def hear(heard: list):
    """A progress that keeps (what, done, total, values)."""
    return lambda *report, **values: heard.append((*report, values))


def weights(out: Path) -> bytes:
    return (out / "adapters" / "adapters.safetensors").read_bytes()


def test_a_run_writes_a_model_that_segments(videos, model, tmp_path):
    out, heard = tmp_path / "run", []
    summary = train_run(
        videos,
        out,
        CONFIG,
        model=model,
        device="cpu",
        progress=hear(heard),
    )
    assert (summary.videos, summary.frames, summary.steps, summary.reused) == (6, 18, 4, False)
    assert {name for name, _ in summary.broken} == {"text.mp4", "zero.mp4"} and summary.notice == "It is random."
    assert sorted(path.name for path in out.iterdir()) == [
        "adapters", "checkpoints", "config.json", "corpus", "log.csv", "pipeline.json", "prepared", "tensorboard",
    ]  # fmt: skip
    assert {report[0] for report in heard} >= {"reading videos", "labelling", "training", "calibrating"}
    last = [report for report in heard if report[0] == "training"][-1]
    assert last[1:3] == (4, 4) and np.isfinite(last[3]["loss"])
    loaded = load_pipeline(out)
    assert loaded.adapted and loaded.name == "run" and loaded.licence == "Apache-2.0"
    assert loaded.notice == "It is random." and loaded.segment.gate > -1
    steps = list(Segmenter.load(out, device="cpu").segment(videos / "0.mp4"))
    assert len(steps) == 3 and all(np.isfinite(step.score) for step in steps)
    assert not load_pipeline(out, adapters=None).adapted


def test_the_record_tells_what_the_run_depended_on(videos, model, tmp_path):
    train_run(videos, tmp_path / "run", CONFIG, model=model, device="cpu", steps_per_video=2)
    record = read_run(tmp_path / "run")
    assert TrainConfig.from_dict(record["config"]) == CONFIG
    assert record["options"] == {
        "source": str(videos), "clips": None, "model": str(model), "dino": None, "steps_per_video": 2,
    }  # fmt: skip
    corpus = json.loads((tmp_path / "run" / "corpus" / "corpus.json").read_text())
    encoder = load_pipeline(tmp_path / "run").fingerprints["encoder"]
    assert record["fingerprints"] == {"encoder": encoder, "corpus": corpus["fingerprint"]}


def test_the_same_run_gives_the_same_bytes_and_another_seed_others(videos, model, tmp_path):
    for name, seed in (("first", 0), ("again", 0), ("other", 1)):
        train_run(videos, tmp_path / name, replace(CONFIG, seed=seed), model=model, device="cpu")
    assert weights(tmp_path / "first") == weights(tmp_path / "again") != weights(tmp_path / "other")


def stop_at(step: int):
    """A progress callback that interrupts the run as a second Ctrl-C would."""

    def report(what, done, total, **values):
        if what == "training" and done == step:
            raise KeyboardInterrupt

    return report


def test_a_stopped_run_goes_on_and_a_finished_one_does_nothing(videos, model, tmp_path):
    train_run(videos, tmp_path / "whole", CONFIG, model=model, device="cpu")
    out = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        train_run(videos, out, CONFIG, model=model, device="cpu", progress=stop_at(3))
    assert not (out / "pipeline.json").exists()
    heard = []
    train_run(
        videos,
        out,
        CONFIG,
        model=model,
        device="cpu",
        resume=True,
        progress=hear(heard),
    )
    assert [report[1] for report in heard if report[0] == "training"] == [3, 4]
    assert weights(out) == weights(tmp_path / "whole")
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    assert train_run(videos, out, CONFIG, model=model, device="cpu", resume=True).reused
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before


def test_a_run_killed_before_it_could_write_its_model_writes_it_when_resumed(videos, model, tmp_path):
    out = tmp_path / "run"
    train_run(videos, out, CONFIG, model=model, device="cpu")
    (out / "pipeline.json").unlink()
    trained = weights(out)
    assert not train_run(videos, out, CONFIG, model=model, device="cpu", resume=True).reused
    assert weights(out) == trained and load_pipeline(out).adapted


def test_stopped_while_preparing_the_same_call_goes_on(videos, model, tmp_path):
    def stop(what, done, total, **values):
        if what == "labelling":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_run(videos, tmp_path / "run", CONFIG, model=model, device="cpu", progress=stop)
    assert train_run(videos, tmp_path / "run", CONFIG, model=model, device="cpu").steps == 4


def test_a_folder_with_a_run_is_refused_or_replaced(videos, model, tmp_path):
    out = tmp_path / "run"
    train_run(videos, out, CONFIG, model=model, device="cpu")
    first = weights(out)
    assert refusal(InputError, videos, out, CONFIG, model=model) == (
        f"{out} already holds a run; go on with --resume, replace it with --overwrite, or choose another folder with "
        "-o."
    )
    decoded = (out / "corpus" / "frames.npy").stat().st_mtime_ns
    (out / "mine.txt").write_text("kept")
    train_run(videos, out, replace(CONFIG, steps=3), model=model, device="cpu", overwrite=True)
    assert weights(out) != first and (out / "corpus" / "frames.npy").stat().st_mtime_ns == decoded
    assert sorted(path.name for path in (out / "checkpoints").iterdir()) == ["step-000002.pt", "step-000003.pt"]
    assert len((out / "log.csv").read_text().splitlines()) == 4 and (out / "mine.txt").read_text() == "kept"


def test_going_on_with_something_else_is_refused(videos, model, tmp_path):
    out = tmp_path / "run"
    train_run(videos, out, CONFIG, model=model, device="cpu")
    (out / "pipeline.json").unlink()
    line = refusal(InputError, videos, out, replace(CONFIG, lr=0.1), model=model, resume=True)
    assert line == (
        f"{out / 'config.json'} was made with lr 0.004, which must stay to go on, got 0.1; give the same, or start "
        "anew with --overwrite, or in another folder."
    )
    line = refusal(InputError, videos, out, CONFIG, model=model, resume=True, steps_per_video=2)
    assert line.startswith(f"{out / 'config.json'} was made with another corpus (fingerprint ")


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"format": 2}', '{"format": 1, "config": {}}'])
@pytest.mark.parametrize("keywords", [{}, {"resume": True}, {"overwrite": True}])
def test_a_config_that_is_no_runs_is_never_replaced(tmp_path, content, keywords):
    record = tmp_path / "run" / "config.json"
    record.parent.mkdir()
    record.write_text(content)
    assert refusal(InputError, tmp_path, record.parent, CONFIG, **keywords) == (
        f"{record} must be the record of a training run of format 1, it is not; delete it, or choose another folder "
        "with -o."
    )
    assert record.read_text() == content


def test_a_model_that_no_run_wrote_is_never_replaced(videos, model):
    before = sorted(model.rglob("*"))
    for keywords in ({}, {"resume": True}, {"overwrite": True}):
        assert refusal(InputError, videos, model, CONFIG, **keywords) == (
            f"{model} holds a model that no training run wrote; choose another folder with -o."
        )
    assert sorted(model.rglob("*")) == before


@pytest.mark.parametrize("name", ["log.csv", "tensorboard", "checkpoints"])
def test_what_a_user_keeps_by_the_names_of_a_run_is_never_replaced(videos, model, tmp_path, name):
    out = tmp_path / "run"
    out.mkdir()
    (out / name).write_text("mine") if "." in name else (out / name).mkdir()
    for keywords in ({}, {"overwrite": True}):
        assert refusal(InputError, videos, out, CONFIG, model=model, **keywords) == (
            f"{out} already has {name} from elsewhere; choose another folder with -o."
        )
    assert [path.name for path in out.iterdir()] == [name]


@pytest.mark.parametrize("name", ["checkpoints/0.mp4", "tensorboard/deep/0.mp4", "corpus/0.mp4"])
def test_videos_that_the_run_would_remove_are_refused(videos, model, tmp_path, name):
    out = tmp_path / "run"
    train_run(videos, out, CONFIG, model=model, device="cpu")
    (out / name).parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(videos / "0.mp4", out / name)
    line = refusal(InputError, out, out, CONFIG, model=model, overwrite=True)
    assert line == (
        f"{out / name} is read, and {out / name.split('/')[0]}, which is written, would take its place; choose another "
        "folder with -o."
    )
    assert (out / name).read_bytes() == (videos / "0.mp4").read_bytes()


def test_bad_input_is_refused_before_anything_is_written(videos, model, tmp_path):
    out = tmp_path / "run"
    (tmp_path / "empty").mkdir()
    cases = {
        f"model must be {', '.join(CATALOGUE)} or a folder with a pipeline.json": dict(model=tmp_path / "absent"),
        "device must be auto, cpu, cuda or cuda:N": dict(device="tpu9"),
        "--clips goes with VGGSound's csv": dict(clips=tmp_path),
        "--resume and --overwrite exclude each other": dict(resume=True, overwrite=True),
        "steps_per_video must be a whole number of at least 1, got 0": dict(steps_per_video=0),
        "--workers must be a whole number between 1 and 256, got 0": dict(workers=0),
    }
    for begins, keywords in cases.items():
        with pytest.raises(InputError) as caught:
            train_run(videos, out, CONFIG, **{"model": model, "device": "cpu", **keywords})
        assert str(caught.value).startswith(begins) and not out.exists(), begins
    assert "must hold at least one video file" in refusal(InputError, tmp_path / "empty", out, CONFIG, model=model)
    assert "does not exist" in refusal(InputError, tmp_path / "absent", out, CONFIG, model=model)
    blocks = refusal(AdapterError, videos, out, replace(CONFIG, blocks=9), model=model)
    assert blocks.startswith("blocks must be between 1 and 3 for an image tower of 3 blocks, got 9")
    assert not out.exists()
    (tmp_path / "file").touch()
    assert refusal(InputError, videos, tmp_path / "file", CONFIG, model=model) == (
        f"{tmp_path / 'file'} must be a folder, it is a file; choose another with -o."
    )


def test_a_run_that_cannot_be_replaced_stays(videos, model, tmp_path):
    out = tmp_path / "run"
    train_run(videos, out, CONFIG, model=model, device="cpu")
    first = weights(out)
    for change, keywords in (({}, {"workers": 0}), ({"batch": 18}, {}), ({"blocks": 9}, {})):
        with pytest.raises((InputError, AdapterError)):
            train_run(videos, out, replace(CONFIG, **change), model=model, device="cpu", overwrite=True, **keywords)
        assert weights(out) == first and load_pipeline(out).adapted
    with pytest.raises(InputError, match="made with lr"):
        train_run(videos, out, replace(CONFIG, lr=0.1), model=model, device="cpu", resume=True, steps_per_video=1)
    corpus = json.loads((out / "corpus" / "corpus.json").read_text())
    assert corpus["fingerprint"] == read_run(out)["fingerprints"]["corpus"]


def test_image_neighbours_need_a_dino(videos, model, tmp_path):
    image = replace(MATCHING, mining=replace(MATCHING.mining, source="image"))
    assert refusal(InputError, videos, tmp_path / "run", image, model=model) == (
        f"mining by image needs a DINO, and model {model}, made from none of {', '.join(CATALOGUE)}, has none of its "
        "own; name one with --dino, such as facebook/dino-vits8, or use --mining audio."
    )
    assert "dino must be mini, a name of moca weights list" in refusal(
        InputError, videos, tmp_path / "run", image, model=model, dino=tmp_path / "absent"
    )
    assert not (tmp_path / "run").exists()


def test_image_neighbours_are_found_by_the_dino_of_the_row_a_model_is_made_from(videos, tmp_path, monkeypatch):
    image = replace(MATCHING, steps=1, mining=replace(MATCHING.mining, source="image"))
    folder = tmp_path / "made"
    folder.mkdir()
    card = {"format": 1, "name": "made", "encoder": "new", "licence": "Apache-2.0"}
    (folder / "pipeline.json").write_text(json.dumps(card))
    monkeypatch.setenv("MOCA_WEIGHTS", str(tmp_path / "weights"))
    for name in (folder, "new"):
        monkeypatch.setitem(CATALOGUE, "new", replace(CATALOGUE["mini"], name="new", images="dino-vits8"))
        assert refusal(InputError, videos, tmp_path / "run", image, model=name).startswith("dino-vits8 must be in ")
        monkeypatch.setitem(CATALOGUE, "new", replace(CATALOGUE["mini"], name="new"))
        out = tmp_path / f"run {Path(name).name}"
        train_run(videos, out, image, model=name, device="cpu")
        assert set(read_run(out)["fingerprints"]) == {"encoder", "corpus", "dino"}


@pytest.mark.parametrize("family", ["vit", "convnext"])
def test_image_neighbours_by_a_dino_of_ones_own(videos, model, tmp_path, family):
    from transformers import DINOv3ConvNextConfig, DINOv3ConvNextModel, ViTConfig, ViTModel

    from moca.foundation.dino import save_dino

    sizes = ViTConfig(
        hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=32, patch_size=8
    )
    stages = DINOv3ConvNextConfig(hidden_sizes=[4, 8], depths=[1, 1], image_size=32)
    own = ViTModel(sizes, add_pooling_layer=False) if family == "vit" else DINOv3ConvNextModel(stages)
    save_dino(tmp_path / "dino", own)
    image = replace(MATCHING, mining=replace(MATCHING.mining, source="image"))
    out = tmp_path / "run"
    train_run(videos, out, image, model=model, device="cpu", dino=tmp_path / "dino")
    assert set(read_run(out)["fingerprints"]) == {"encoder", "corpus", "dino"}
    assert "active" in (out / "log.csv").read_text().splitlines()[0]
    assert load_pipeline(out).towers.readout is None


def test_a_card_names_the_encoder_wherever_it_came_from(videos, model, tmp_path, monkeypatch):
    assert load_encoder("mini").reference == "mini"
    assert load_encoder(model).reference == str(model / "encoder")
    parts = {"masks": "sam", "objects": "owner/model", "proposals": {"kind": "none", "match": 0.3}}
    described = json.loads((model / "pipeline.json").read_text())
    (model / "pipeline.json").write_text(json.dumps({**described, **parts}))
    train_run(videos, tmp_path / "run", CONFIG, model=model, device="cpu")
    again = load_encoder(tmp_path / "run")
    assert again.parts == {**parts, "masks": str(model / "sam")}
    assert (again.reference, again.licence, again.notice) == (str(model / "encoder"), "Apache-2.0", "It is random.")
    card = json.loads((tmp_path / "run" / "pipeline.json").read_text())
    (tmp_path / "run" / "pipeline.json").write_text(json.dumps({**card, "encoder": "mini"}))
    assert load_encoder(tmp_path / "run").reference == "mini"
    (tmp_path / "run" / "pipeline.json").write_text(json.dumps({**card, "encoder": "huge"}))
    monkeypatch.setenv("MOCA_WEIGHTS", str(tmp_path / "weights"))
    for name in ("huge", tmp_path / "run"):
        with pytest.raises(InputError, match=r"^model huge needs imagebind_huge\.pth \(4\.8 GB, licence CC BY-NC-SA"):
            load_encoder(name)
    with pytest.raises(InputError, match="got absent; give one of them, or make one with moca train"):
        load_encoder("absent")


def test_towers_are_those_of_the_configuration(pipeline):
    towers = make_towers(pipeline.encoder, replace(CONFIG, blocks=1, placement="first", bottleneck=6))
    assert towers.plan.image_blocks == (0,) and towers.config.bottleneck == 6 and towers.config.latents == 3
    assert towers.readout.shape == (9,)
    again, other = (make_towers(pipeline.encoder, replace(CONFIG, seed=seed)).state_dict() for seed in (0, 1))
    same = make_towers(pipeline.encoder, CONFIG).state_dict()
    assert all(torch.equal(again[name], same[name]) for name in same)
    assert not all(torch.equal(again[name], other[name]) for name in same)


def test_trained_adapters_are_not_the_fresh_ones(videos, model, tmp_path, pipeline):
    train_run(videos, tmp_path / "run", CONFIG, model=model, device="cpu")
    encoder = pipeline.encoder
    prints = read_run(tmp_path / "run")["fingerprints"]
    trained = load_adapters(tmp_path / "run" / "adapters", encoder.image_tower, encoder.audio_tower, prints["encoder"])
    fresh = make_towers(encoder, CONFIG).state_dict()
    assert any(not torch.equal(value, fresh[name]) for name, value in trained.state_dict().items() if ".up." in name)


def test_an_interrupt_is_no_ordinary_error():
    assert issubclass(Interrupted, KeyboardInterrupt) and not issubclass(Interrupted, Exception)
