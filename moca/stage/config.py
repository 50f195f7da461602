"""How much of Soundstage is written."""

from __future__ import annotations

from dataclasses import dataclass

from moca.core.settings import Settings, setting
from moca.errors import InputError


@dataclass(frozen=True, kw_only=True)
class WritingConfig(Settings):
    """Clips of every layout, and the world they are drawn from."""

    s4: tuple[int, ...] = setting((40, 10, 20), help="S4 clips: train,val,test.", least=0, option=True)
    ms3: tuple[int, ...] = setting((20, 10, 20), help="MS3 clips: train,val,test.", least=0, option=True)
    avss: tuple[int, ...] = setting((0, 0, 0), help="AVSS clips, with classes: train,val,test.", least=0, option=True)
    vggsound: int = setting(0, help="VGGSound training clips: one large object and its sound.", least=0, option=True)
    vggss: int = setting(0, help="VGGSound test clips with VGG-SS's boxes.", least=0, option=True)
    extras: int = setting(0, help="Clips each of silence, noise and off-screen sound.", least=0, option=True)
    size: int = setting(224, help="Side of the square frame in pixels.", least=1, option=True)
    seed: int = setting(0, help="Another seed, another world.", least=0, option=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("s4", "ms3", "avss"):
            if len(counts := getattr(self, name)) != 3:
                given = ",".join(map(str, counts))
                raise InputError(f"{name} must be three whole numbers train,val,test, got {given}; e.g. 40,10,20.")
