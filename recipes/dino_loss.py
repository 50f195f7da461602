"""What DINO learns from: the views of a frame, the projection head, the loss between views, the teacher.

Source: Caron et al., Emerging Properties in Self-Supervised Vision Transformers, ICCV 2021, and its code
(main_dino.py, utils.py). Letters: N frames, V views of each, P prototypes, H and W pixels, B any batch.
Tensors that hold all views of a batch are view-major: the first N rows are the first view of every frame.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from moca.core.frames import IMAGENET_MEAN, IMAGENET_STD
from moca.foundation.preprocessing import normalised

LUMA = (0.299, 0.587, 0.114)
YIQ = ((0.299, 0.587, 0.114), (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112))


@dataclass(frozen=True, kw_only=True)
class ViewsConfig:
    """How the views of a frame are cut and recoloured.

    global_px, local_px: sides of the square views, two global ones and `locals` local ones. global_area,
    local_area: share of the frame that a view shows, from and to. brightness, contrast, saturation: furthest
    factors are 1 -+ this; hue: furthest turn of the colour wheel as a share of it. jitter, grey: chances of
    recolouring and of losing all colour. blur: chances for the first global, second global and local views,
    blur_px its deviation from and to. solarise: chance for the second global view. flip: chance of mirroring.
    """

    global_px: int = 64
    local_px: int = 32
    locals: int = 4
    global_area: tuple[float, float] = (0.5, 1.0)
    local_area: tuple[float, float] = (0.2, 0.5)
    brightness: float = 0.4
    contrast: float = 0.4
    saturation: float = 0.8
    hue: float = 0.5
    jitter: float = 0.8
    grey: float = 0.2
    blur: tuple[float, float, float] = (1.0, 0.1, 0.5)
    blur_px: tuple[float, float] = (0.1, 0.8)
    solarise: float = 0.2
    flip: float = 0.5


def draw_views(frames: Tensor, config: ViewsConfig, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Random views of frames (N, H, W, 3) uint8, normalised as DINO reads them.

    Returns the global (2 N, 3, G, G) and the local (locals N, 3, L, L) views, view-major, float32.
    """
    pixels = frames.permute(0, 3, 1, 2).float() / 255
    count = len(frames)
    whole = crop(pixels.repeat(2, 1, 1, 1), config.global_px, config.global_area, config.flip, generator)
    parts = crop(pixels.repeat(config.locals, 1, 1, 1), config.local_px, config.local_area, config.flip, generator)
    blurred = torch.tensor(config.blur)
    whole = _disturb(whole, blurred[:2].repeat_interleave(count), config, generator)
    parts = _disturb(parts, blurred[2].expand(len(parts)), config, generator)
    second = whole[count:]
    flipped = _chance(count, config.solarise, generator)[:, None, None, None]
    whole = torch.cat([whole[:count], torch.where(flipped & (second >= 0.5), 1 - second, second)])
    return tuple(normalised(views, IMAGENET_MEAN, IMAGENET_STD) for views in (whole, parts))


def crop(pixels: Tensor, side: int, area: tuple[float, float], flip: float, generator: torch.Generator) -> Tensor:
    """A random box of every picture (B, 3, H, W), resized to (B, 3, side, side), mirrored with chance `flip`.

    area: from and to, as shares of the picture; the sides' ratio is between 3:4 and 4:3. Bilinear.
    """
    count = len(pixels)
    share = _uniform(count, *area, generator)
    ratio = _uniform(count, math.log(3 / 4), math.log(4 / 3), generator).exp()
    width, height = (share * ratio).sqrt().clamp(max=1), (share / ratio).sqrt().clamp(max=1)
    centre_x = _uniform(count, -1, 1, generator) * (1 - width)
    centre_y = _uniform(count, -1, 1, generator) * (1 - height)
    sign = torch.where(_chance(count, flip, generator), -1.0, 1.0)
    zero = torch.zeros(count)
    box = torch.stack([width * sign, zero, centre_x, zero, height, centre_y], dim=1).reshape(count, 2, 3)
    grid = F.affine_grid(box, [count, 3, side, side], align_corners=False)
    return F.grid_sample(pixels, grid, mode="bilinear", padding_mode="border", align_corners=False)


def recolour(pixels: Tensor, brightness: Tensor, contrast: Tensor, saturation: Tensor, turn: Tensor) -> Tensor:
    """Pictures (B, 3, H, W) in [0, 1] with their light and colours changed; every setting is (B,).

    brightness, contrast and saturation: factors, 1 changes nothing, saturation 0 is grey; turn: of the hue
    in radians. Contrast is around the picture's mean luma. The result is clipped to [0, 1].
    """
    luma, yiq = torch.tensor(LUMA), torch.tensor(YIQ)
    rotation = torch.zeros(len(pixels), 3, 3)
    rotation[:, 0, 0] = 1
    rotation[:, 1, 1] = rotation[:, 2, 2] = turn.cos()
    rotation[:, 1, 2], rotation[:, 2, 1] = -turn.sin(), turn.sin()
    colours = torch.linalg.inv(yiq) @ rotation @ yiq
    colour_share = saturation[:, None, None]
    matrix = brightness[:, None, None] * (colour_share * colours + (1 - colour_share) * luma.expand(3, 3))
    changed = torch.einsum("bij,bjhw->bihw", matrix, pixels)
    mean = torch.einsum("j,bjhw->bhw", luma, changed).mean((1, 2))[:, None, None, None]
    return (mean + contrast[:, None, None, None] * (changed - mean)).clamp(0, 1)


def blur(pixels: Tensor, deviation_px: Tensor, *, reach: int = 3) -> Tensor:
    """Gaussian blur of pictures (B, 3, H, W), each with its own deviation (B,) in pixels, edges repeated."""
    offsets = torch.arange(-reach, reach + 1)
    weights = torch.softmax(-(offsets**2) / (2 * deviation_px[:, None] ** 2), dim=1)
    for dim, pad in ((3, (reach, reach, 0, 0)), (2, (0, 0, reach, reach))):
        side, padded = pixels.shape[dim], F.pad(pixels, pad, mode="replicate")
        shifted = (padded.narrow(dim, i, side) * weights[:, i, None, None, None] for i in range(len(offsets)))
        pixels = torch.stack(tuple(shifted)).sum(0)
    return pixels


def _disturb(pixels: Tensor, blurred: Tensor, config: ViewsConfig, generator: torch.Generator) -> Tensor:
    """Colour jitter, greyness and blur, each by chance; blurred: (B,) chance of a blur."""
    count = len(pixels)
    jittered = _chance(count, config.jitter, generator)
    spans = {"brightness": config.brightness, "contrast": config.contrast, "saturation": config.saturation}
    factor = {
        name: torch.where(jittered, _uniform(count, 1 - span, 1 + span, generator), 1.0) for name, span in spans.items()
    }
    turn = torch.where(jittered, _uniform(count, -config.hue, config.hue, generator) * 2 * math.pi, 0.0)
    factor["saturation"] = torch.where(_chance(count, config.grey, generator), 0.0, factor["saturation"])
    pixels = recolour(pixels, factor["brightness"], factor["contrast"], factor["saturation"], turn)
    soft = torch.rand(count, generator=generator) < blurred
    deviation = _uniform(count, *config.blur_px, generator)
    return torch.where(soft[:, None, None, None], blur(pixels, deviation), pixels)


def _uniform(count: int, low: float, high: float, generator: torch.Generator) -> Tensor:
    return low + (high - low) * torch.rand(count, generator=generator)


def _chance(count: int, probability: float, generator: torch.Generator) -> Tensor:
    return torch.rand(count, generator=generator) < probability


class DinoHead(nn.Module):
    """Class tokens (B, D) to cosines (B, P) with P learned prototypes: an MLP, L2 norm, unit prototypes.

    Equals DINO's weight-normed last layer with its gain frozen at 1.
    """

    def __init__(self, width: int, *, hidden: int, bottleneck: int, prototypes: int):
        super().__init__()
        sizes = ((width, hidden), (hidden, hidden), (hidden, bottleneck))
        self.layers = nn.ModuleList(nn.Linear(*size) for size in sizes)
        for layer in self.layers:
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
        self.prototypes = nn.Parameter(torch.randn(prototypes, bottleneck))

    def forward(self, tokens: Tensor) -> Tensor:
        first, second, last = self.layers
        hidden = F.gelu(second(F.gelu(first(tokens))))
        return F.linear(F.normalize(last(hidden), dim=-1), F.normalize(self.prototypes, dim=-1))


def teacher_targets(logits: Tensor, center: Tensor, temperature: float) -> Tensor:
    """The teacher's distributions (B, P) from its logits (B, P): centred by (P,), then sharpened."""
    return torch.softmax((logits - center) / temperature, dim=-1)


def dino_loss(student: Tensor, targets: Tensor, temperature: float) -> Tensor:
    """Mean cross-entropy of the student's views under the teacher's, over all pairs of different views.

    student: (V, N, P) logits, the global views first. targets: (2, N, P) distributions of those global views.
    At best the targets' own entropy, at chance log P.
    """
    surprise = -torch.einsum("qnp,vnp->qv", targets, torch.log_softmax(student / temperature, dim=-1)) / len(student[0])
    views = torch.arange(len(student))
    different = views[None, :] != views[: len(targets), None]
    return surprise[different].mean()


def moved_center(center: Tensor, logits: Tensor, momentum: float) -> Tensor:
    """The running mean (P,) of the teacher's logits (B, P)."""
    return momentum * center + (1 - momentum) * logits.mean(0)


@torch.no_grad()
def update_teacher(teacher: nn.Module, student: nn.Module, momentum: float) -> None:
    """Move every parameter of the teacher to momentum * teacher + (1 - momentum) * student, in place."""
    for slow, fast in zip(teacher.parameters(), student.parameters(), strict=True):
        slow.lerp_(fast, 1 - momentum)


def entropies(targets: Tensor) -> tuple[float, float]:
    """How sure the teacher is of a view, and how many prototypes it uses, for targets (B, P), as exp(entropy).

    Returns (mean over views of a view's own, that of the mean view), both between 1 and P. A collapse onto
    one prototype makes the second 1; a collapse onto the uniform distribution makes the first P.
    """
    own = torch.special.entr(targets).sum(-1).mean().exp()
    together = torch.special.entr(targets.mean(0)).sum().exp()
    return own.item(), together.item()
