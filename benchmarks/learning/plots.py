"""Plots of the study."""

from __future__ import annotations

from pathlib import Path
from statistics import mean, stdev

import numpy as np

SHOWN = (
    "frozen, projected tokens",
    "frozen, last two blocks' values",
    "frozen",
    "paper",
    "paper, literal sign",
    "moca",
)
CONTROLS = {
    "own": "own sound",
    "adapters swapped": "another sound in the adapters",
    "swapped": "another sound everywhere",
    "image only": "image only",
}
FALSE = {"silent": "silence", "noise": "noise", "offscreen": "off-screen sound"}


def draw_controls(results: dict, encoder: str, target: Path) -> None:
    """mIoU of the main rows under every control, with the spread over seeds."""
    plt = _pyplot()
    names = [name for name in SHOWN if (encoder, name) in results]
    figure, axes = plt.subplots(1, 2, figsize=(11, 3.6), sharey=True, layout="constrained")
    for axis, (kind, title) in zip(
        axes, {"s4": "one source (S4-like)", "ms3": "several (MS3-like)"}.items(), strict=True
    ):
        for index, (control, words) in enumerate(CONTROLS.items()):
            values = [[run["test"][kind][control]["iou"] for run in results[encoder, name]] for name in names]
            spread = [stdev(scores) if len(scores) > 1 else 0 for scores in values]
            where = np.arange(len(names)) + 0.2 * (index - 1.5)
            axis.bar(where, [mean(scores) for scores in values], 0.19, yerr=spread, capsize=2, label=words)
        axis.set_xticks(np.arange(len(names)), [name.replace(", ", ",\n") for name in names])
        axis.set_title(title)
        axis.grid(axis="y", alpha=0.3)
    axes[0].set_ylabel("mIoU")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=len(CONTROLS), fontsize=8)
    figure.savefig(target, dpi=110)
    plt.close(figure)


def draw_gate(results: dict, encoder: str, target: Path) -> None:
    """ROC of the gate: sounding clips kept against clips let through in which nothing in the picture sounds."""
    plt = _pyplot()
    names = [
        name
        for name in ("frozen", "frozen, last two blocks' values", "moca without noise", "moca")
        if (encoder, name) in results
    ]
    figure, axes = plt.subplots(1, 3, figsize=(11, 3.4), sharey=True, layout="constrained")
    for axis, (kind, title) in zip(axes, FALSE.items(), strict=True):
        for name in names:
            false = results[encoder, name][0]["test"]["false"]
            levels = np.sort(np.concatenate([false["standing"], false[kind]["standing"], [-2.0, 2.0]]))
            axis.plot(
                *(
                    [
                        np.mean(np.array(side)[:, None] >= levels, axis=0)
                        for side in (false[kind]["standing"], false["standing"])
                    ]
                ),
                label=name,
            )
        axis.axhline(0.95, color="grey", linewidth=0.8, linestyle=":")
        axis.set_title(title)
        axis.set_xlabel("let through")
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("sounding clips kept")
    axes[0].legend(fontsize=8, loc="lower right")
    figure.savefig(target, dpi=110)
    plt.close(figure)


def _pyplot():
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    return plt
