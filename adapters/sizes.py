"""How large an adapter is."""

from dataclasses import dataclass

from .errors import AdapterError


@dataclass(frozen=True, kw_only=True)
class AdaAVConfig:
    """Size of every adapter. The defaults give 1,298,688 parameters in six blocks of ImageBind-Huge."""

    bottleneck: int = 64
    """Width r in which audio and image tokens meet; at least 1."""
    latents: int = 32
    """Number m of latent audio tokens of one adapter; at least 1."""

    def __post_init__(self) -> None:
        check_sizes(bottleneck=self.bottleneck, latents=self.latents)


def check_sizes(**sizes: int) -> None:
    """AdapterError, by name, for a size that is not a whole number of at least 1."""
    for name, size in sizes.items():
        if not isinstance(size, int) or isinstance(size, bool) or size < 1:
            raise AdapterError(f"{name} must be a whole number of at least 1, got {size!r}; raise it.")
