"""Weights that can be fetched: what they are, where they lie on this machine, and whether they are all there.

`weights/manifest.toml` lists them. A file lies in `weights_home()` under its own name, a repository of the hub in
`weights_home()/hub` under its name in the manifest, with a record of what it must hold.
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

import platformdirs

import moca.weights
from moca.errors import InputError
from moca.foundation.catalogue import BUNDLED, ROLES, own_loader

KINDS = ("file", "hub")
MANIFEST_FILE, RECORD_FILE, RECORD_FORMAT = "manifest.toml", ".fetched.json", 1
NEEDED = {"file": ("file", "url", "bytes", "sha256"), "hub": ("hub",)}
NAMES = {
    "name": (r"[a-z0-9][a-z0-9.-]*", "lower-case letters, digits, dots and hyphens"),
    "file": (r"[A-Za-z0-9_][A-Za-z0-9_.-]*", "a file name without a folder"),
    "url": (r"https?://\S+", "an http or https address"),
    "sha256": (r"[0-9a-f]{64}", "64 lower-case hexadecimal digits"),
    "hub": (r"[\w.-]+/[\w.-]+", "owner/name"),
}


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One model of the manifest."""

    name: str
    """What `moca weights fetch` takes."""
    role: str
    """What it serves as; a key of `catalogue.ROLES`."""
    kind: str
    """"file", with url, file, bytes and sha256, or "hub", with hub and perhaps a revision."""
    licence: str
    """Of the weights and of results made with them."""
    citation: str
    """The paper."""
    commercial: bool = True
    """Whether the licence plainly allows commercial use; False, too, where its own terms have to be read first."""
    file: str | None = None
    """Name of the file in the weights folder."""
    url: str | None = None
    """Where the file is fetched from."""
    bytes: int | None = None
    """Size of the download, None where it is not known."""
    sha256: str | None = None
    """Of the file, in lower-case hexadecimal digits."""
    hub: str | None = None
    """Repository of the Hugging Face hub, "owner/name"."""
    revision: str | None = None
    """Branch, tag or commit of the repository; None takes its main branch."""
    parameters: int | None = None
    """Number of parameters, None where it is not known."""

    def __post_init__(self):
        if self.kind not in KINDS:
            raise InputError(f"kind of {self.name} must be file or hub, got {self.kind!r}; correct the manifest.")
        unset = [key for key in NEEDED[self.kind] if getattr(self, key) is None]
        if unset:
            raise InputError(f"{self.name} must have {', '.join(unset)}, which it does not; correct the manifest.")
        for field in fields(self):
            self._check(field.name, getattr(self, field.name), field.type)
        if self.role not in ROLES:
            raise InputError(
                f"role of {self.name} must be one of {', '.join(ROLES)}, got {self.role!r}; correct the manifest."
            )

    def _check(self, key: str, value: object, kind: str) -> None:
        if value is None and "None" in kind:
            return
        pattern, rule = NAMES.get(key, (r".*\S.*", "text"))
        if kind == "bool":
            good, rule = isinstance(value, bool), "true or false"
        elif kind.startswith("int"):
            good, rule = type(value) is int and value > 0, "a whole number above 0"
        else:
            good = isinstance(value, str) and re.fullmatch(pattern, value) is not None
        if not good:
            raise InputError(f"{key} of {self.name} must be {rule}, got {value!r}; correct the manifest.")

    @property
    def title(self) -> str:
        """The role in words, for people."""
        return ROLES[self.role].title

    @property
    def place(self) -> Path:
        """Where the file or the folder lies, or would."""
        home = weights_home()
        return home / self.file if self.kind == "file" else home / "hub" / self.name

    @property
    def slim_place(self) -> Path:
        """Where the slim copy of an encoder lies, or would: its two towers, halved by `moca weights slim`."""
        return weights_home() / f"{self.name}.slim.safetensors"

    @property
    def is_slim(self) -> bool:
        """Whether the slim copy is here, which is then what is loaded."""
        return self.slim_place.is_file()

    @property
    def size(self) -> int | None:
        """Bytes of the model: of its files, or roughly, four per parameter; None where neither is known."""
        return self._file_bytes() or (4 * self.parameters if self.parameters else None)

    @property
    def size_is_exact(self) -> bool:
        """Whether `size` is that of files."""
        return self._file_bytes() is not None

    def _file_bytes(self) -> int | None:
        record = read_record(self) if self.kind == "hub" else None
        return sum(known["bytes"] for known in record["files"].values()) if record else self.bytes

    @property
    def is_here(self) -> bool:
        """Whether it can be loaded: everything is there in the right size, or its slim copy is; `moca weights verify`
        also looks at the content."""
        return self.is_slim or not self.missing()

    def missing(self) -> list[str]:
        """Names of the files that are absent or have the wrong size, in the order of the record."""
        if self.kind == "file":
            wanted = {self.place: self.bytes}
        elif record := read_record(self):
            wanted = {self.place / name: known["bytes"] for name, known in record["files"].items()}
        else:
            return [RECORD_FILE]
        return [path.name for path, size in wanted.items() if not path.is_file() or path.stat().st_size != size]


def weights_home() -> Path:
    """Folder where fetched weights are kept: $MOCA_WEIGHTS, or moca-avs in the user's cache folder."""
    if os.environ.get("MOCA_WEIGHTS"):
        return Path(os.environ["MOCA_WEIGHTS"])
    return platformdirs.user_cache_path("moca-avs")


def bundled_weights() -> Path:
    """Folder with the small weights that travel with the package."""
    return Path(moca.weights.__file__).parent


def read_manifest(path: Path | None = None) -> dict[str, Entry]:
    """The models of a manifest by name; path: None for the package's own. InputError when it is not valid."""
    path = bundled_weights() / MANIFEST_FILE if path is None else path
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path} must be TOML, got something else ({error}); restore it.") from None
    return {name: _read_entry(name, table) for name, table in tables.items()}


def _read_entry(name: str, table: Any) -> Entry:
    if not isinstance(table, dict):
        raise InputError(f"{name} must be a table, got {table!r}; correct the manifest.")
    known = {field.name: field for field in fields(Entry) if field.name != "name"}
    if strange := sorted(set(table) - set(known)):
        raise InputError(f"{name} must have only {', '.join(known)}, got {', '.join(strange)}; correct the manifest.")
    if absent := [key for key, field in known.items() if field.default is MISSING and key not in table]:
        raise InputError(f"{name} must have {', '.join(absent)}, which it does not; correct the manifest.")
    return Entry(name=name, **table)


def find_entry(name: str) -> Entry:
    """The entry of a name; InputError, naming all of them, for any other."""
    entries = read_manifest()
    if name not in entries:
        raise InputError(f"name must be one of {', '.join(entries)}, got {name}; see moca weights list.")
    return entries[name]


UNSTATED = "licence not stated"
"""What is said of a model that the manifest does not list."""


def fetched_entry(name: str, role: str) -> Entry | None:
    """The entry of a name in a row of the catalogue; None for a model that is bundled or that only its loader knows.

    role: a key of `catalogue.ROLES`. Raises InputError for a name that neither a loader nor the manifest knows.
    """
    if name == BUNDLED or (name not in read_manifest() and own_loader(role, name)):
        return None
    return find_entry(name)


def local_source(name: str) -> Path:
    """The file or the folder of a model that has been fetched, to hand to its loader.

    name: of the manifest, such as "dino-vits8". The slim copy of an encoder is taken before its original. Raises
    InputError, with the command that fetches it, when it is not there, or not all of it. Sizes are looked at, contents
    are not.
    """
    entry = find_entry(name)
    if entry.is_slim:
        return entry.slim_place
    missing = entry.missing()
    if not missing:
        return entry.place
    if not entry.place.exists():
        state = "which is not there"
    elif entry.kind == "file":
        state = f"which has {entry.place.stat().st_size:,} bytes instead of {entry.bytes:,}"
    else:
        state = f"which is not complete ({missing[0]})"
    raise InputError(f"{name} must be in {entry.place}, {state}; run moca weights fetch {name}.")


def read_record(entry: Entry) -> dict | None:
    """What the folder of a hub model must hold, or None where that was never recorded or cannot be read.

    hub, revision (the commit) and files: name -> {"bytes": size, "sha256": digest or None}.
    """
    try:
        record = json.loads((entry.place / RECORD_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    right = isinstance(record, dict) and record.get("format") == RECORD_FORMAT and record.get("hub") == entry.hub
    return record if right and isinstance(record.get("files"), dict) else None


def dump_record(entry: Entry, revision: str, files: dict[str, dict]) -> str:
    """The text of a hub model's record; see `read_record`."""
    record = {"format": RECORD_FORMAT, "hub": entry.hub, "revision": revision, "files": files}
    return json.dumps(record, indent=2) + "\n"
