"""The one table of models: every name a user may give, and what it serves as in every role.

A row is what `--model` takes. Its entries are names of `moca weights list`, hub ids, folders, or "mini" for the small
model of that role that travels with the package; they are handed to the role's loader as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from moca.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Row:
    """One model of the table.

    name: what `--model` takes. encoder: image and audio towers (ImageBind). images: features of pictures (DINO).
    masks: masks of prompts (SAM). objects: boxes of objects (OWLv2). words: boxes of words (Grounding DINO). tags:
    what is heard (AST). note: what a user must know before believing its results, or None.
    """

    name: str
    encoder: str
    images: str
    masks: str
    objects: str
    words: str
    tags: str
    note: str | None = None


ROLES = ("encoder", "images", "masks", "objects", "words", "tags")

CATALOGUE: Mapping[str, Row] = MappingProxyType(
    {
        row.name: row
        for row in (
            Row(name="mini", encoder="mini", images="mini", masks="mini", objects="mini", words="mini", tags="mini"),
            Row(
                name="huge",
                encoder="imagebind-huge",
                images="dino-vits8",
                masks="sam-vit-huge",
                objects="owlv2-base-ensemble",
                words="grounding-dino-base",
                tags="ast",
            ),
        )
    }
)


def row_of(name: str) -> Row:
    """The row of a name; InputError, naming all of them, for any other."""
    if name not in CATALOGUE:
        raise InputError(f"model must be one of {', '.join(CATALOGUE)}, got {name!r}; choose one of them.")
    return CATALOGUE[name]
