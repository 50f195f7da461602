"""Numbers and names as the commands print them."""

from __future__ import annotations

from moca.foundation.manifest import Entry


def bytes_text(count: int) -> str:
    """A number of bytes in the unit that suits it, such as 375 MB."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            number = f"{count / size:.1f}" if count < 100 * size else f"{count / size:.0f}"
            return f"{number.removesuffix('.0')} {unit}"
    return f"{count} B"


def size_text(entry: Entry) -> str:
    """Size of a model: of its files, roughly from its parameters (~), or ? where neither is known."""
    if entry.size is None:
        return "?"
    return f"{'' if entry.size_is_exact else '~'}{bytes_text(entry.size)}"


def short_licence(entry: Entry) -> str:
    """The licence's name, without what it means."""
    return entry.licence.partition(":")[0]
