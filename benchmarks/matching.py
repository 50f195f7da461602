"""Speed of the scanline cost: one matrix product per row against unfolding every candidate.

    python -m benchmarks.matching [--repeats 5] [--json out.json]

Both versions compute the same (B, H, W, W) cost of 8 pairs of 16 x 16 maps with 1280 channels
(ImageBind-Huge at 224 pixels); equality of costs and gradients is asserted before anything is timed. The
smallest of several runs counts, since other work on the machine can only add time. Figures are ratios;
milliseconds are for orientation.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.timing import shortest_s
from moca.training.losses.pixel_matching import scanline_cost

SHAPE = (8, 1280, 16, 16)
TARGET = 20.0


def unfolded_scanline_cost(f: Tensor, g: Tensor) -> Tensor:
    """The same numbers as `scanline_cost`, straight from the equations.

    Every pixel of f gets its own copy of all pixels of g at disparities -(W-1)..(W-1) (zero beyond the
    border); then differences and products are summed over channels. f, g: (B, C, H, W). Returns (B, H, W,
    W).
    """
    batch, channels, height, width = f.shape
    span = 2 * width - 1
    candidates = F.unfold(g, kernel_size=(1, span), padding=(0, width - 1))
    candidates = candidates.view(batch, channels, span, height, width)
    pixels = f.unsqueeze(2)
    ssd = (pixels - candidates).square().sum(1)
    lengths = pixels.square().sum(1).sqrt() * candidates.square().sum(1).clamp(min=1e-30).sqrt()
    by_disparity = ssd + 1 - (pixels * candidates).sum(1) / lengths
    columns = torch.arange(width)
    disparity = columns[None, :] - columns[:, None] + width - 1  # (W, W): of column j and candidate k
    index = disparity.T[None, :, None, :].expand(batch, width, height, width)
    return by_disparity.gather(1, index).permute(0, 2, 3, 1)


def forward(cost: Callable[[Tensor, Tensor], Tensor], f: Tensor, g: Tensor) -> Tensor:
    with torch.no_grad():
        return cost(f, g)


def forward_and_backward(cost: Callable[[Tensor, Tensor], Tensor], f: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
    return torch.autograd.grad(cost(f, g).amin(-1).mean(), (f, g))


def measure(repeats: int) -> dict[str, dict[str, float]]:
    """Times in ms and their ratio, for the forward pass alone and with the backward pass."""
    generator = torch.Generator().manual_seed(0)
    f, g = (torch.randn(SHAPE, generator=generator).requires_grad_() for _ in range(2))
    results = {}
    for name, run in (("forward", forward), ("forward + backward", forward_and_backward)):
        for ours, theirs in zip(run(scanline_cost, f, g), run(unfolded_scanline_cost, f, g), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
        product = 1e3 * shortest_s(lambda run=run: run(scanline_cost, f, g), 10 * repeats)
        unfold = 1e3 * shortest_s(lambda run=run: run(unfolded_scanline_cost, f, g), repeats)
        results[name] = {"product_ms": product, "unfold_ms": unfold, "ratio": unfold / product}
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5, help="timed runs of the slow version (default 5)")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args()
    results = measure(options.repeats)
    batch, channels, height, width = SHAPE
    print(f"scanline cost, {batch} x {height} x {width} x {channels}, {torch.get_num_threads()} threads")
    print(f"{'':20}{'product':>12}{'unfold':>12}{'ratio':>9}")
    for name, row in results.items():
        print(f"{name:20}{row['product_ms']:9.1f} ms{row['unfold_ms']:9.1f} ms{row['ratio']:8.1f}x")
    slowest = min(row["ratio"] for row in results.values())
    print(f"target {TARGET:.0f}x: {'met' if slowest >= TARGET else 'missed'}")
    if options.json:
        part = options.json.with_name(options.json.name + ".part")
        threads = torch.get_num_threads()
        part.write_text(json.dumps({"shape": SHAPE, "threads": threads, "results": results}, indent=2) + "\n")
        part.replace(options.json)


if __name__ == "__main__":
    main()
