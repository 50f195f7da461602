"""Checks of settings that the methods share."""

from __future__ import annotations

from typing import Any

from moca.errors import InputError


def check_numbers(config: Any, low: float, high: float, **paper: float | None) -> None:
    """InputError unless each named field of a configuration is a number from low to high.

    paper: names of fields, and what the message says the paper uses; None where it says nothing.
    """
    for name, used in paper.items():
        value = getattr(config, name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            ends = "change it" if used is None else f"the paper uses {used:g}"
            raise InputError(f"{name} must be between {low:g} and {high:g}, got {value!r}; {ends}.")


def check_counts(config: Any, low: int, high: int, *names: str) -> None:
    """InputError unless each named field of a configuration is a whole number from low to high."""
    for name in names:
        value = getattr(config, name)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise InputError(f"{name} must be a whole number between {low} and {high}, got {value!r}; change it.")
