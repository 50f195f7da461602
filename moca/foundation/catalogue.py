"""The one table of models: every name a user may give, what it serves as in every role, and what loads it.

A row is what `--model` takes; its entries name one model a role. Licences and sizes of models that can be fetched are
in the manifest. A new foundation model is a file with its loader and a row here; nothing is imported before it is used.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from moca.errors import InputError

BUNDLED = "mini"
"""The entry of a row, and the name for a loader, that stands for the small model that travels with the package."""


@dataclass(frozen=True, kw_only=True)
class Role:
    """What a model does for the methods."""

    title: str
    """The role in words, for people."""
    folder: str
    """Name of the bundled model's folder in weights/mini."""
    loader: str
    """"module:function" of what loads models of this role: function(name, *, device)."""
    compared: bool = False
    """Whether only the comparison methods use it; what segments by default is fetched and checked first."""


ROLES: dict[str, Role] = {
    "encoder": Role(
        title="image and audio towers",
        folder="imagebind",
        loader="moca.foundation.imagebind.weights:load_imagebind",
    ),
    "images": Role(title="picture features", folder="dino", loader="moca.foundation.dino:load_dino"),
    "masks": Role(title="masks", folder="sam", loader="moca.foundation.sam.sam:load_sam"),
    "objects": Role(title="boxes of objects", folder="objects", loader="moca.foundation.owlv2:load_objects"),
    "words": Role(
        title="boxes of words",
        folder="grounding",
        loader="moca.foundation.grounding_dino.detector:load_grounding",
        compared=True,
    ),
    "tags": Role(title="sound tags", folder="tagger", loader="moca.foundation.ast_tagger:load_tagger", compared=True),
}
"""Every role by the name that a row, the manifest and a method's list of parts call it."""

SEGMENTING = tuple(role for role, description in ROLES.items() if not description.compared)
"""Roles of the models that a row segments with by default."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One model of the table. An entry is a name of `moca weights list`, "mini" for the bundled model of its role, or,
    but for the encoder, a name that only its own loader knows.

    The first role is enough to segment; the others propose masks, mine neighbours and serve the comparison methods.
    """

    name: str
    """What `--model` takes."""
    encoder: str
    """Image and audio towers in one space (ImageBind)."""
    images: str
    """Features of pictures, by which those that look alike are found (DINO)."""
    masks: str
    """Masks of boxes and points (SAM)."""
    objects: str
    """Boxes of whatever is an object (OWLv2)."""
    words: str
    """Boxes of what words name (Grounding DINO)."""
    tags: str
    """What is heard, in words (AST)."""
    reading: str | None = "proxy"
    """How patches are read where nothing else is said (`PatchReading.reading`), "proxy" with the row's own `images`
    where they are here and "clear" until then; None is the encoder's own way. A ViT-H's tokens say next to nothing of
    places: 7.1 mIoU by its tokens, 29.1 by self-self attention, 44.4 by "proxy" (arXiv 2408.04883)."""
    architecture: str = "huge"
    """The encoder without its weights: the classmethod of `ImageBindConfig` that describes it."""
    note: str | None = None
    """What a user must know before believing its results, in a few words, or None."""
    loaders: Mapping[str, str] = field(default_factory=dict)
    """By role, "module:function" for an entry that the role's own loader does not know."""

    @property
    def bundled(self) -> bool:
        """Whether its encoder travels with the package."""
        return self.encoder == BUNDLED

    def entry(self, role: str) -> str:
        """The model that serves in a role."""
        return getattr(self, role)


CATALOGUE: dict[str, Row] = {
    row.name: row
    for row in (
        Row(
            name="mini",
            **dict.fromkeys(ROLES, BUNDLED),
            reading=None,
            architecture="mini",
            note="knows only Soundstage's classes",
        ),
        Row(
            name="huge",
            encoder="imagebind-huge",
            images="dino-vitb8",
            masks="sam-vit-huge",
            objects="owlv2-base-ensemble",
            words="grounding-dino-base",
            tags="ast",
        ),
        Row(
            name="huge-lite",
            encoder="imagebind-huge",
            images="dino-vits8",
            masks="sam-vit-base",
            objects="owlv2-base-ensemble",
            words="grounding-dino-tiny",
            tags="ast",
        ),
    )
}
"""Every row by its name."""


def row_of(name: str) -> Row:
    """The row of a name; InputError, naming all of them, for any other."""
    if name not in CATALOGUE:
        raise InputError(f"model must be one of {', '.join(CATALOGUE)}, got {name!r}; choose one of them.")
    return CATALOGUE[name]


def load_role(role: str, name: str | Path, *, device: Any = "cpu") -> Any:
    """The frozen model of a role on a device.

    role: a key of ROLES. name: "mini" (bundled), a name of `moca weights list`, or what else the role's loader takes,
    such as a folder. Raises InputError, in one line, for a model that is not there, is damaged, or is of another kind.
    """
    return loader_of(role, name)(name, device=device)


def loader_of(role: str, name: str | Path = BUNDLED) -> Callable[..., Any]:
    """The function that loads a model of a role: the one that a row states for this name, or the role's own.

    It is imported now; each takes about as long as all the rest of the package.
    """
    module, _, function = (own_loader(role, name) or ROLES[role].loader).partition(":")
    return getattr(import_module(module), function)


def own_loader(role: str, name: str | Path) -> str | None:
    """The "module:function" that a row states for an entry; None for a name that the role's own loader knows."""
    stated = (row.loaders[role] for row in CATALOGUE.values() if role in row.loaders and row.entry(role) == str(name))
    return next(stated, None)
