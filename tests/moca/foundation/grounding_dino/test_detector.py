"""Grounding DINO against transformers' own path, its prompts and labels, its files, and all that can be wrong there."""

import json
import os
import pickle
from itertools import pairwise

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoTokenizer,
    BertConfig,
    BertTokenizerFast,
    GroundingDinoConfig,
    GroundingDinoForObjectDetection,
    GroundingDinoProcessor,
    MMGroundingDinoConfig,
    MMGroundingDinoForObjectDetection,
    SwinConfig,
)
from transformers.image_transforms import get_size_with_aspect_ratio
from transformers.models.grounding_dino.image_processing_pil_grounding_dino import GroundingDinoImageProcessorPil

from moca.errors import InputError
from moca.foundation.boxes import iou_matrix
from moca.foundation.grounding_dino.detector import GroundingDino, load_grounding, save_grounding
from moca.foundation.grounding_dino.fitting import fitted_size, preprocess_frames
from moca.foundation.grounding_dino.prompts import prompts_of

MARKS = {"[PAD]": 0, "[UNK]": 100, "[CLS]": 101, "[SEP]": 102, "[MASK]": 103, ".": 1012, "?": 1029}
WORDS = {"dog": 200, "red": 201, "guitar": 202, "##s": 203, "a": 204, "piano": 205, "#": 206}
SIDES = (48, 80)
WHOLE = dict(box_threshold=0.0, text_threshold=0.0)


def tokenizer(**others):
    """BERT's, with a handful of words in a table of 1,030."""
    known = {**MARKS, **WORDS, **others}
    taken = set(known.values())
    known |= {f"[unused{number}]": number for number in range(1030) if number not in taken}
    return BertTokenizerFast(vocab=dict(sorted(known.items(), key=lambda item: item[1])))


def tiny_parts():
    backbone = SwinConfig(
        image_size=64,
        patch_size=4,
        embed_dim=16,
        depths=[1, 1, 1],
        num_heads=[2, 2, 2],
        window_size=4,
        out_features=["stage2", "stage3"],
    )
    text = BertConfig(
        vocab_size=1030,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=12,
    )
    sizes = dict(d_model=32, num_queries=12, num_feature_levels=3, encoder_layers=1, decoder_layers=2, max_text_len=24)
    halves = {f"{half}_{name}": size for half in ("encoder", "decoder") for name, size in (("ffn_dim", 32),)}
    heads = dict(encoder_attention_heads=2, decoder_attention_heads=2)
    return dict(backbone_config=backbone, text_config=text, **sizes, **halves, **heads)


def random_model(seed=0, kind=GroundingDinoForObjectDetection, config=GroundingDinoConfig):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = kind(config(**tiny_parts()))
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():  # so that no bias is zero and no gain is one
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=draw))
        model.model.decoder.layer_norm.weight.mul_(0.2)  # so that no score is as good as 1
        model.bbox_embed[0].layers[-1].bias[2:].add_(1)  # so that boxes overlap
    return model.eval()


@pytest.fixture(scope="module")
def model():
    return random_model()


@pytest.fixture(scope="module")
def detector(model):
    return GroundingDino(model, tokenizer(), sides=SIDES)


@pytest.fixture
def folder(model, tmp_path):
    save_grounding(tmp_path / "grounding", model, tokenizer(), sides=SIDES)
    return tmp_path / "grounding"


@pytest.fixture(scope="module")
def frames():
    draw = np.random.default_rng(1)
    sizes = ((50, 41), (40, 70), (50, 41), (64, 64))
    return [draw.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes]


@pytest.fixture(scope="module")
def words():
    return [["Dog", "red guitars"], ["guitar"], ["a dog", "zebra", "red dog"], ["piano", "dog", "guitar"]]


def processor_of(folder):
    return GroundingDinoProcessor(
        GroundingDinoImageProcessorPil.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    )


@torch.no_grad()
def published_path(model, processor, frame, phrases, **thresholds):
    """What transformers finds: its processor, model and post-processing, and its probabilities, best box first."""
    inputs = processor(images=frame, text=[phrases], return_tensors="pt")
    answer = model(**inputs)
    published = processor.post_process_grounded_object_detection(answer, target_sizes=[frame.shape[:2]], **thresholds)[
        0
    ]
    order = published["scores"].argsort(descending=True)
    chances = answer.logits[0].sigmoid()
    chances = chances[chances.max(1).values.argsort(descending=True)]
    return (
        published["scores"][order].numpy(),
        published["boxes"][order].numpy(),
        chances.numpy(),
        inputs["input_ids"][0],
    )


def naive_label(chances, ids, phrases, text_threshold):
    """The phrase of the best mean among those with a token above the threshold; None without one."""
    best, label, token = -1.0, None, 1
    for phrase in phrases:
        own = []
        while ids[token] != MARKS["."]:
            own.append(float(chances[token]))
            token += 1
        token += 1
        if max(own) > text_threshold and sum(own) / len(own) > best:
            best, label = sum(own) / len(own), phrase
    return label


def assert_alike(answers, expected):
    assert len(answers) == len(expected) > 0
    for answer, other in zip(answers, expected, strict=True):
        assert answer.labels == other.labels
        np.testing.assert_allclose(answer.scores, other.scores, atol=1e-4)
        np.testing.assert_allclose(answer.xyxy, other.xyxy, atol=1e-2)


def refusal(call, *args, **options):
    with pytest.raises(InputError) as caught:
        call(*args, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


# Agreement with transformers


KINDS = {
    "grounding-dino": (GroundingDinoForObjectDetection, GroundingDinoConfig),
    "mm-grounding-dino": (MMGroundingDinoForObjectDetection, MMGroundingDinoConfig),
}


@pytest.mark.parametrize("name", KINDS)
def test_boxes_scores_and_labels_are_those_of_the_published_path(name, frames, words, tmp_path):
    theirs = random_model(3, *KINDS[name])
    save_grounding(tmp_path / "folder", theirs, tokenizer(), sides=SIDES)
    ours, processor = load_grounding(tmp_path / "folder"), processor_of(tmp_path / "folder")
    assert type(ours.model) is type(theirs)
    answers, labels = ours.detect(frames, words, **WHOLE), set()
    for frame, phrases, answer in zip(frames, words, answers, strict=True):
        scores, boxes, chances, ids = published_path(
            theirs, processor, frame, phrases, threshold=0.0, text_threshold=0.0
        )
        height, width = frame.shape[:2]
        boxes = boxes.clip(0, (width, height, width, height))
        inside = (boxes[:, 2:] > boxes[:, :2]).all(1)
        np.testing.assert_allclose(answer.scores, scores[inside], atol=1e-5)
        np.testing.assert_allclose(answer.xyxy, boxes[inside], atol=1e-3)
        assert answer.labels == tuple(naive_label(row, ids, phrases, 0.0) for row in chances[inside])
        assert answer.xyxy.dtype == answer.scores.dtype == np.float32
        labels |= set(answer.labels)
    assert len(labels) > 3


def test_thresholds_leave_out_what_they_should(model, detector, folder, frames, words):
    processor, left_out = processor_of(folder), 0
    for box_threshold, text_threshold in ((0.05, 0.3), (0.3, 0.05), (0.2, 0.6)):
        limits = dict(box_threshold=box_threshold, text_threshold=text_threshold)
        answers = detector.detect(frames, words, **limits)
        for frame, phrases, boxes in zip(frames, words, answers, strict=True):
            scores, _, chances, ids = published_path(
                model, processor, frame, phrases, threshold=box_threshold, text_threshold=text_threshold
            )
            labels = [naive_label(row, ids, phrases, text_threshold) for row in chances[: len(scores)]]
            named = [label is not None for label in labels]
            np.testing.assert_allclose(boxes.scores, scores[named], atol=1e-5)
            assert boxes.labels == tuple(label for label in labels if label)
            left_out += len(named) - sum(named)
    assert left_out > 0


@pytest.mark.parametrize("shape", [(50, 41), (41, 50), (10, 90), (48, 60), (64, 64), (300, 200)])
def test_frames_are_resized_and_normalised_as_transformers_does(shape):
    frame = np.random.default_rng(2).integers(0, 256, (*shape, 3), dtype=np.uint8)
    processor = GroundingDinoImageProcessorPil(size={"shortest_edge": SIDES[0], "longest_edge": SIDES[1]})
    expected = processor(frame, return_tensors="pt")
    torch.testing.assert_close(preprocess_frames([frame], SIDES), expected["pixel_values"], atol=1e-5, rtol=0)
    assert expected["pixel_mask"].all()


def test_sizes_are_rounded_as_published():
    draw = np.random.default_rng(3)
    for _ in range(2000):
        height, width, short = draw.integers(1, 900, 3).tolist()
        long = short + int(draw.integers(0, 600))
        assert fitted_size(height, width, (short, long)) == get_size_with_aspect_ratio((height, width), short, long)
    assert fitted_size(480, 640, (800, 1333)) == (800, 1066)
    assert fitted_size(1080, 1920, (800, 1333)) == (750, 1333)


# Laws


def test_the_batch_changes_nothing_and_the_words_do(detector, frames, words):
    whole = detector.detect(frames, words, **WHOLE, batch=8)
    for batch in (1, 2):
        assert_alike(detector.detect(frames, words, **WHOLE, batch=batch), whole)
    assert_alike(detector.detect(frames[::-1], words[::-1], **WHOLE), whole[::-1])
    other = detector.detect(frames[:1], [["piano"]], **WHOLE)[0]
    assert other.labels[0] == "piano" and not np.allclose(other.scores[:3], whole[0].scores[:3], atol=1e-3)


def test_frames_without_words_have_no_boxes_and_are_not_computed(detector, frames, words, monkeypatch):
    some = detector.detect(frames[:2], [[], words[1]], **WHOLE)
    assert len(some[0]) == 0 and some[0].labels == () and some[0].xyxy.shape == (0, 4)
    assert_alike(some[1:], detector.detect(frames[1:2], words[1:2], **WHOLE))

    def forward(*_, **__):
        raise AssertionError("computed")

    monkeypatch.setattr(detector.model, "forward", forward)
    assert [len(boxes) for boxes in detector.detect(frames, [[]] * 4)] == [0] * 4
    assert detector.detect([], []) == []
    with pytest.raises(AssertionError, match="computed"):
        detector.detect(frames, words)


def test_word_boxes_are_in_the_frame_best_first(detector, frames, words):
    for frame, phrases, boxes in zip(frames, words, detector.detect(frames, words, **WHOLE), strict=True):
        height, width = frame.shape[:2]
        assert 0 < len(boxes) == len(boxes.labels) and set(boxes.labels) <= set(phrases)
        assert (np.diff(boxes.scores) <= 0).all()
        assert (boxes.xyxy[:, :2] >= 0).all() and (boxes.xyxy[:, 2:] <= (width, height)).all()


def test_word_boxes_that_overlap_much_are_left_out_when_asked(detector, frames, words):
    whole, apart = (detector.detect(frames, words, **WHOLE, nms_iou=iou) for iou in (None, 0.0))
    assert sum(map(len, apart)) < sum(map(len, whole))
    for boxes in apart:
        assert np.triu(iou_matrix(boxes.xyxy, boxes.xyxy), 1).max(initial=0) <= 1e-6
        assert (np.diff(boxes.scores) <= 0).all()


def test_more_words_than_fit_are_asked_in_parts(detector, frames):
    phrases = [["red guitars", "dog", "a red dog", "piano"][number % 4] for number in range(13)]
    prompts = list(prompts_of(phrases, detector.tokenizer, 24, 12))
    assert len(prompts) == 2 and sum((prompt.phrases for prompt in prompts), ()) == tuple(phrases)
    boxes = detector.detect(frames[:1], [phrases], **WHOLE)[0]
    parts = [detector.detect(frames[:1], [prompt.phrases], **WHOLE)[0] for prompt in prompts]
    scores = np.concatenate([part.scores for part in parts])
    np.testing.assert_allclose(boxes.scores, -np.sort(-scores), atol=1e-5)
    assert sorted(boxes.labels) == sorted(parts[0].labels + parts[1].labels)


def test_word_frames_may_be_memory_mapped(detector, tmp_path, recwarn):
    stack = np.random.default_rng(4).integers(0, 256, (2, 50, 60, 3), dtype=np.uint8)
    np.save(tmp_path / "frames.npy", stack)
    mapped = np.load(tmp_path / "frames.npy", mmap_mode="r")
    phrases = [["dog"], ["piano"]]
    assert_alike(detector.detect(mapped, phrases, **WHOLE), detector.detect(stack, phrases, **WHOLE))
    assert not recwarn.list


def test_words_in_bfloat16_are_close_and_not_the_same(folder, frames, words):
    exact, rough = load_grounding(folder), load_grounding(folder, dtype=torch.bfloat16)
    assert rough.model.dtype == torch.bfloat16
    prompts = list(prompts_of(words[0], exact.tokenizer, 24, 12))
    expected, chances = (detector._answers(frames[:1], prompts)[0].max(axis=(1, 2)) for detector in (exact, rough))
    assert 0 < np.abs(chances - expected).max() < 0.1
    assert all(detector.xyxy.dtype == np.float32 for detector in rough.detect(frames, words, **WHOLE))


# Prompts


def test_a_prompt_is_phrases_between_marks():
    (prompt,) = prompts_of(["Red GUITARS", "dog"], tokenizer(), 24, 12)
    assert prompt.ids == (101, 201, 202, 203, 1012, 200, 1012, 102)
    assert prompt.spans == ((1, 4), (5, 6)) and prompt.phrases == ("Red GUITARS", "dog")
    assert prompt.ids == tuple(tokenizer()("red guitars . dog .")["input_ids"])
    assert list(prompts_of([], tokenizer(), 24, 12)) == []


def test_prompts_are_as_full_as_can_be():
    for most in range(6, 40):
        prompts = list(prompts_of(["red guitars", "dog"] * 6, tokenizer(), most, 12))
        sizes = [len(prompt.ids) for prompt in prompts]
        assert max(sizes) <= most
        for prompt, after in pairwise(prompts):
            first = after.spans[0][1] - after.spans[0][0]
            assert len(prompt.ids) + first + 1 > most
        assert sum(len(prompt.phrases) for prompt in prompts) == 12


@pytest.mark.parametrize("phrase", ["", "  ", "dog. guitar", "dog?", ".", "\x00"])
def test_phrases_without_words_or_with_marks_are_refused(detector, frames, phrase):
    assert refusal(detector.detect, frames[:1], [["dog", phrase]]) == (
        f"a phrase must be words without '.' and '?', got {phrase!r}; take them out, or leave it out."
    )


def test_what_are_not_phrases_is_refused(detector, frames):
    assert refusal(detector.detect, frames[:1], ["dog"]) == (
        "words of a frame must be a list of phrases, got the text 'dog'; put it in a list."
    )
    assert refusal(detector.detect, frames[:1], [[7]]) == "a phrase must be text, got 7; pass words."
    assert refusal(detector.detect, frames[:2], [["dog"]]) == (
        "words must be one list a frame, 2 in all, got 1; match them."
    )
    assert refusal(detector.detect, frames[:1], [["dog " * 12]]) == (
        "a phrase must be at most 11 word pieces, got 12 in 'dog dog dog dog dog dog dog dog dog dog '; shorten it."
    )
    assert len(detector.detect(frames[:1], [["dog " * 11]], **WHOLE)[0]) > 0


# Files


def test_the_grounding_folder_is_complete(model, folder, frames, words):
    names = ("config.json", "model.safetensors", "preprocessor_config.json", "tokenizer.json", "tokenizer_config.json")
    assert sorted(path.name for path in folder.iterdir()) == list(names)
    assert load_grounding(folder).sides == SIDES
    loaded = GroundingDinoForObjectDetection.from_pretrained(folder)
    for (name, ours), (_, theirs) in zip(model.state_dict().items(), loaded.state_dict().items(), strict=True):
        torch.testing.assert_close(ours, theirs, msg=name)
    assert not any(p.requires_grad for p in load_grounding(folder).model.parameters())


def test_half_of_the_precision_is_half_of_the_file(model, folder, tmp_path):
    save_grounding(tmp_path / "half", model, tokenizer(), dtype=torch.float16, sides=SIDES)
    sizes = [(path / "model.safetensors").stat().st_size for path in (tmp_path / "half", folder)]
    assert sizes[0] < 0.65 * sizes[1]
    assert load_grounding(tmp_path / "half").model.dtype == torch.float32


def test_weights_that_layers_share_may_be_stored_once_or_for_each(model, folder, frames, words):
    expected = load_grounding(folder).detect(frames, words, **WHOLE)
    path = folder / "model.safetensors"
    stored = load_file(path)
    copies = {name: tensor.clone() for name, tensor in model.state_dict().items() if "bbox_embed" in name}
    every = {**copies, **stored}
    assert len(every) - len(stored) == 18  # three of four heads of three layers
    pooler = {"model.text_backbone.pooler.dense.bias": torch.zeros(16)}
    save_file({**every, **pooler}, path, metadata={"format": "pt"})
    assert_alike(load_grounding(folder).detect(frames, words, **WHOLE), expected)


def test_sides_are_those_of_the_folder_or_of_the_backbone(model, folder):
    assert GroundingDino(model, tokenizer()).sides == (64, 64)
    path = folder / "preprocessor_config.json"
    reading = json.loads(path.read_text())
    path.unlink()
    assert load_grounding(folder).sides == (800, 1333)  # as published
    path.write_text(json.dumps({**reading, "size": {"height": 32, "width": 32}}))
    assert refusal(load_grounding, folder) == (
        f"size in preprocessor_config.json of {folder} must name shortest_edge and longest_edge, got "
        "{'height': 32, 'width': 32}; restore it."
    )
    path.write_text(json.dumps({**reading, "image_mean": [0, 0, 0]}))
    assert refusal(load_grounding, folder) == (
        f"{folder} must read pictures with image_mean [0.485, 0.456, 0.406], got [0, 0, 0]; use a model such as "
        "IDEA-Research/grounding-dino-tiny."
    )
    assert refusal(GroundingDino, model, tokenizer(), sides=(80, 48)) == (
        "sides must be two whole numbers of pixels, the short one first, got (80, 48); change them."
    )


# Tokenizers


def test_a_list_of_words_is_a_tokenizer_too(folder, frames, words):
    expected = load_grounding(folder).detect(frames, words, **WHOLE)
    (folder / "tokenizer.json").unlink()
    assert refusal(load_grounding, folder) == (
        f"{folder} must hold tokenizer.json or vocab.txt, which are not there; restore one, or use a model such as "
        "IDEA-Research/grounding-dino-tiny."
    )
    known = tokenizer().get_vocab()
    (folder / "vocab.txt").write_text("\n".join(sorted(known, key=known.get)) + "\n", encoding="utf-8")
    assert_alike(load_grounding(folder).detect(frames, words, **WHOLE), expected)


def test_a_damaged_tokenizer_is_refused(folder):
    path = folder / "tokenizer.json"
    for damage in (path.read_text()[:-200], "[]"):
        path.write_text(damage)
        before = contents(folder)
        assert refusal(load_grounding, folder) == (
            f"tokenizer.json of {folder} must be a tokenizer's, got a damaged file; restore it."
        )
        assert contents(folder) == before


def test_a_tokenizer_with_other_numbers_is_refused(model, folder, tmp_path):
    swapped = tokenizer(**{".": 1029, "?": 1012})
    assert refusal(GroundingDino, model, swapped) == (
        "a tokenizer must number {'[CLS]': 101, '[SEP]': 102, '.': 1012, '?': 1029}, as BERT's does, got "
        "{'[CLS]': 101, '[SEP]': 102, '.': 1029, '?': 1012}; use that of the model."
    )
    assert "must number" in refusal(save_grounding, tmp_path / "new", model, swapped)
    assert not (tmp_path / "new").exists()
    assert refusal(GroundingDino, model, tokenizer(zebra=1030)) == (
        "a tokenizer must have at most the 1030 words of its model, got 1031; use that of the model."
    )


def test_code_in_a_folder_is_not_run(folder, tmp_path, frames, words):
    (folder / "evil.py").write_text(f"import os\nos.mkdir({str(tmp_path / 'exploded')!r})\nclass Evil: pass\n")
    for name, auto in (("tokenizer_config.json", ["evil.Evil", "evil.Evil"]), ("config.json", "evil.Evil")):
        document = json.loads((folder / name).read_text())
        kinds = {kind: auto for kind in ("AutoTokenizer", "AutoConfig", "AutoModel")}
        (folder / name).write_text(json.dumps({**document, "auto_map": kinds}))
    assert len(load_grounding(folder).detect(frames, words, **WHOLE)) == 4
    assert not (tmp_path / "exploded").exists()


# Refusals


RULE = "{} must hold exactly the weights of its config.json in model.safetensors"


class Bomb:
    """Creates a folder when unpickled."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_damaged_grounding_weights_are_refused(folder):
    path = folder / "model.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    before = contents(folder)
    assert refusal(load_grounding, folder) == (
        f"{RULE.format(folder)}, got a damaged file, or one that does not fit it; restore it."
    )
    assert contents(folder) == before
    path.write_bytes(whole)
    weights = load_file(path)
    absent = {name: tensor for name, tensor in weights.items() if name != "model.level_embed"}
    save_file(absent, path, metadata={"format": "pt"})
    assert refusal(load_grounding, folder) == f"{RULE.format(folder)}, got missing ones: model.level_embed; restore it."
    absent = {name: tensor for name, tensor in weights.items() if not name.startswith("bbox_embed.")}
    save_file(absent, path, metadata={"format": "pt"})
    assert "got missing ones: bbox_embed.0.layers.0.bias" in refusal(load_grounding, folder)
    save_file({**weights, "model.extra": torch.zeros(1)}, path, metadata={"format": "pt"})
    assert refusal(load_grounding, folder) == f"{RULE.format(folder)}, got unknown ones: model.extra; restore it."


def test_pickled_grounding_weights_are_refused(folder, tmp_path):
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb(tmp_path / "exploded")))
    before = contents(folder)
    assert refusal(load_grounding, folder) == (
        f"{RULE.format(folder)}, which is not there (no other format is read); restore or convert it."
    )
    assert not (tmp_path / "exploded").exists() and contents(folder) == before


def test_what_is_not_a_grounding_dino_is_refused(folder, tmp_path):
    path = folder / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, "model_type": "detr"}))
    assert f"{folder} must be a model of type 'grounding-dino' or 'mm-grounding-dino', got 'detr'" in refusal(
        load_grounding, folder
    )
    path.write_text(json.dumps({**config, "backbone_config": {"model_type": "timm_backbone", "backbone": "resnet50"}}))
    assert refusal(load_grounding, folder) == (
        f"{folder} must have a backbone of type 'swin', got 'timm_backbone'; use a model such as "
        "IDEA-Research/grounding-dino-tiny."
    )
    path.unlink()
    assert "must hold a config.json, which is not there" in refusal(load_grounding, folder)
    assert refusal(load_grounding, tmp_path / "none").startswith("grounding must be mini, a name of moca weights list")


def test_narrow_frames_are_refused_where_the_model_has_too_few_places(model, detector):
    """Twelve boxes want twelve places, which a map of 8, of 16 and of 32 pixels a place must have together."""
    narrow = np.zeros((1, 200, 3), np.uint8)
    assert refusal(detector.detect, [narrow], [["dog"]]) == (
        "a frame must have at least 12 places to look at when it is read, got 0 for 1 x 200 pixels; cut it to a shape "
        "that is less narrow."
    )
    assert len(detector.detect([narrow], [[]])[0]) == 0
    for width, places in ((40, 5 + 3 + 2), (48, 6 + 3 + 2)):
        small, frame = GroundingDino(model, tokenizer(), sides=(8, width)), np.zeros((8, width, 3), np.uint8)
        assert f"got {places} for 8 x {width} pixels" in refusal(small.detect, [frame], [["dog"]])
        with pytest.raises(RuntimeError, match="out of range"):  # what the model itself says
            small._answers([frame], list(prompts_of(["dog"], small.tokenizer, 24, 12)))
    enough = GroundingDino(model, tokenizer(), sides=(8, 56))  # 7 + 4 + 2
    assert len(enough.detect([np.zeros((8, 56, 3), np.uint8)], [["dog"]], **WHOLE)) == 1


def test_grounding_settings_out_of_range_are_refused(detector, folder, frames, words):
    assert refusal(load_grounding, folder, dtype=torch.float16) == (
        "dtype must be float32 or bfloat16, got torch.float16; choose one of them."
    )
    for name in ("box_threshold", "text_threshold", "nms_iou"):
        assert refusal(detector.detect, frames, words, **{name: -1}) == (
            f"{name} must be from 0 to 1, got -1; change it."
        )
    assert refusal(detector.detect, frames, words, batch=0) == "batch must be at least 1 prompt, got 0; raise it."
    assert refusal(detector.detect, [frames[0].astype(float)], [[]]) == (
        "a frame must be a uint8 array of shape (height, width, 3), got float64 (50, 41, 3) for frame 0; "
        "convert it to RGB."
    )
