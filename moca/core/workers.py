"""How many processes may work at once."""

from __future__ import annotations

from moca.errors import InputError

MAX_WORKERS = 256


def check_workers(workers: object) -> None:
    """Raise InputError unless workers is a whole number between 1 and 256."""
    if isinstance(workers, bool) or not isinstance(workers, int) or not 1 <= workers <= MAX_WORKERS:
        raise InputError(
            f"--workers must be a whole number between 1 and {MAX_WORKERS}, got {workers!r}; give for example 2."
        )
