"""The same model with one thing changed: what `moca evaluate` compares a result with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from moca.core.method import Method
from moca.pipeline.loading import Pipeline, frozen_towers
from moca.segmentation.config import SegmentConfig
from moca.segmenter import Segmenter

FROZEN = "frozen encoder"
"""Name of the control that is the same model without its adapters."""
WITHOUT_PROPOSALS = "without proposals"
"""Name of the control that is the same model without its mask proposals."""
OF_AGREEMENT = ("sounding", "level", "scores", "gate", "gate_frozen", "gate_rank", "heat_low", "heat_high")
"""Settings that speak of the agreement between patches and sound, and so belong to whatever tells it.

With adapters that is a read-out, whose numbers are probabilities; the frozen encoder alone has cosines, of another
range: a gate, a level or a range of the heat map that fits one means nothing for the other, and neither does the rule
that compares with the level. They are calibrated, or chosen, once with the adapters and once without."""


def variants_of(method: Method) -> dict[str, Method]:
    """Controls of a method by name, each the method itself with one thing changed.

    "frozen encoder": towers without adapters, where the method has adapters; "without proposals": coarse masks as they
    are, where it makes mask proposals; and both at once where it has both. {} for a method that is no `Segmenter`.

    Everything else is the method's own: the same encoder, proposer and batches, and every setting. The one exception
    are the settings of OF_AGREEMENT in the frozen encoder: where the method has them as its model is calibrated, the
    control has them as the same model is calibrated without its adapters; where they are not the model's, a user set
    them, and they stay.
    """
    if not isinstance(method, Segmenter):
        return {}
    pipeline, config = method.pipeline, method.config
    variants: dict[str, Method] = {}
    if pipeline.proposer is not None:
        variants[WITHOUT_PROPOSALS] = _with(method, _without_proposals(pipeline), config)
    if pipeline.adapted:
        frozen, config = _without_adapters(pipeline, method), _frozen_config(pipeline, config)
        variants[FROZEN] = _with(method, frozen, config)
        if pipeline.proposer is not None:
            variants[f"{FROZEN}, {WITHOUT_PROPOSALS}"] = _with(method, _without_proposals(frozen), config)
    return variants


def adjusted(method: Method, settings: Mapping[str, Any]) -> Method:
    """A method with some settings changed, sharing its models.

    settings: fields of `SegmentConfig`. A method that is no `Segmenter` has none of them and is returned as it is.
    """
    if not settings or not isinstance(method, Segmenter):
        return method
    return _with(method, method.pipeline, replace(method.config, **settings))


def _with(segmenter: Segmenter, pipeline: Pipeline, config: SegmentConfig) -> Segmenter:
    return Segmenter(pipeline, config=config, batch_steps=segmenter.batch_steps, device=str(segmenter.device))


def _without_proposals(pipeline: Pipeline) -> Pipeline:
    prints = {name: value for name, value in pipeline.fingerprints.items() if name not in ("masks", "objects")}
    return replace(pipeline, proposer=None, fingerprints=prints)


def _without_adapters(pipeline: Pipeline, segmenter: Segmenter) -> Pipeline:
    prints = {name: value for name, value in pipeline.fingerprints.items() if name != "adapters"}
    towers = frozen_towers(pipeline.encoder).to(segmenter.device)
    return replace(
        pipeline,
        towers=towers,
        adapted=False,
        segment=pipeline.frozen_segment or pipeline.segment,
        fingerprints=prints,
    )


def _frozen_config(pipeline: Pipeline, config: SegmentConfig) -> SegmentConfig:
    """The method's settings, with the encoder's own calibration in the place of the adapters'."""
    own, frozen = pipeline.segment, pipeline.frozen_segment or pipeline.segment
    calibrated = [name for name in OF_AGREEMENT if getattr(config, name) == getattr(own, name)]
    return replace(config, **{name: getattr(frozen, name) for name in calibrated})
