"""Settings of evaluations that are not the method's."""

from __future__ import annotations

from dataclasses import dataclass

from moca.core.settings import Settings, setting


@dataclass(frozen=True, kw_only=True)
class BootstrapConfig(Settings):
    """How intervals over clips are drawn."""

    samples: int = setting(
        1_000,
        help="Bootstrap samples of the intervals; 0 for none.",
        least=0,
        most=100_000,
        hint="1,000 suit most uses",
        option=True,
    )
    seed: int = setting(0, help="Seed of the bootstrap, and of permutations.", least=0, option=True)


@dataclass(frozen=True, kw_only=True)
class GalleryConfig(Settings):
    """What report.html shows of the clips."""

    report: bool = setting(True, help="Write report.html.", option=True)
    gallery: int = setting(60, help="Most clips that the report shows.", least=0, hint="0 leaves them out", option=True)
    worst_first: bool = setting(False, help="The report shows the worst clips.", option=True)
