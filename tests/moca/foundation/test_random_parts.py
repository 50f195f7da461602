"""Models of published sizes with random weights: their sizes, their seeds, and that they work."""

import numpy as np
import pytest
import torch
from transformers import Owlv2ForObjectDetection, SamModel, ViTModel

from moca.errors import InputError
from moca.foundation.catalogue import CATALOGUE, SEGMENTING
from moca.foundation.manifest import read_manifest
from moca.foundation.random_parts import CONFIGS, random_part

CLASSES = {"images": ViTModel, "masks": SamModel, "objects": Owlv2ForObjectDetection}


def frame(seed=0):
    return np.random.default_rng(seed).integers(0, 256, (90, 120, 3), dtype=np.uint8)


def test_everything_that_a_row_segments_with_has_a_known_size():
    wanted = {row.entry(role) for row in CATALOGUE.values() for role in SEGMENTING if role != "encoder"}
    assert wanted - {"mini"} <= set(CONFIGS)


@pytest.mark.parametrize("name", [name for name in CONFIGS if read_manifest()[name].parameters])
def test_a_size_is_what_the_manifest_says(name):
    entry = read_manifest()[name]
    options = {"add_pooling_layer": False} if entry.role == "images" else {}
    with torch.device("meta"):
        model = CLASSES[entry.role](CONFIGS[name](), **options)
    assert sum(parameter.numel() for parameter in model.parameters()) == entry.parameters


def test_weights_depend_on_the_seed_alone_and_leave_the_global_generator_alone():
    before = torch.random.get_rng_state()
    first, again, other = (random_part("images", "mini", seed=seed).model.state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_random_models_do_their_work():
    dino, sam, objects = (random_part(role, "mini", seed=0) for role in CLASSES)
    assert np.isfinite(dino.patches([frame()])).all() and dino.patches([frame()]).std() > 0
    (boxes,) = objects.detect([frame()], threshold=0.0, limit=5)
    assert 1 <= len(boxes) <= 5 and np.isfinite(boxes.xyxy).all()
    masks = sam.from_boxes(sam.encode([frame()])[0], boxes.xyxy)
    assert masks.masks.shape == (len(boxes), 90, 120) and np.isfinite(masks.scores).all()
    assert not any(parameter.requires_grad for parameter in sam.model.parameters())


@torch.no_grad()
def test_a_published_size_is_built_whole():
    dino = random_part("images", "dino-vits16", seed=0)
    assert dino.features([frame()]).shape == (1, 384)


def test_unknown_sizes_and_roles_are_refused():
    for role, name in (("masks", "own-masks"), ("words", "grounding-dino-base")):
        with pytest.raises(InputError, match=r"^random weights are for ") as caught:
            random_part(role, name, seed=0)
        assert "\n" not in str(caught.value)
