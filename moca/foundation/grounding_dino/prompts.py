"""Phrases to the prompts of Grounding DINO, and the tokenizer of its folder, read as tables only."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from transformers import BertTokenizerFast, PreTrainedTokenizerFast
from transformers.utils import cached_file

from moca.errors import InputError
from moca.foundation.pretrained import quiet
from moca.foundation.published import Kind

# The model looks for these by number and separates phrases by them.
MARKS = {"[CLS]": 101, "[SEP]": 102, ".": 1012, "?": 1029}
TOKENIZER_FILE, TOKENIZER_CONFIG_FILE, VOCABULARY_FILE = "tokenizer.json", "tokenizer_config.json", "vocab.txt"


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """One prompt of some phrases."""

    ids: tuple[int, ...]
    """Tokens of "[CLS] phrase . phrase . [SEP]"."""
    phrases: tuple[str, ...]
    """The phrases as they were given."""
    spans: tuple[tuple[int, int], ...]
    """Of each phrase, its first token and the one after its last."""


def prompts_of(phrases: Sequence[str], tokenizer: PreTrainedTokenizerFast, most: int, longest: int) -> Iterator[Prompt]:
    """The fewest prompts, of at most `most` tokens, that ask for some phrases in their order; none for none.

    longest: positions of a phrase, its "." included. Raises InputError for what is not a list of phrases, for a
    phrase without words, with a mark that separates phrases, or too long for one prompt.
    """
    if isinstance(phrases, str):
        raise InputError(f"words of a frame must be a list of phrases, got the text {phrases!r}; put it in a list.")
    pieces = [(phrase, _pieces(phrase, tokenizer, min(most - 3, longest - 1))) for phrase in phrases]
    part: list[tuple[str, list[int]]] = []
    for phrase_pieces in pieces:
        if part and 3 + sum(1 + len(ids) for _, ids in part) + len(phrase_pieces[1]) > most:
            yield _prompt(part)
            part = []
        part.append(phrase_pieces)
    if part:
        yield _prompt(part)


def _prompt(part: list[tuple[str, list[int]]]) -> Prompt:
    ids, spans = [MARKS["[CLS]"]], []
    for _, pieces in part:
        spans.append((len(ids), len(ids) + len(pieces)))
        ids += [*pieces, MARKS["."]]
    return Prompt(ids=(*ids, MARKS["[SEP]"]), phrases=tuple(phrase for phrase, _ in part), spans=tuple(spans))


def _pieces(phrase: str, tokenizer: PreTrainedTokenizerFast, most: int) -> list[int]:
    if not isinstance(phrase, str):
        raise InputError(f"a phrase must be text, got {phrase!r}; pass words.")
    ids = tokenizer(phrase.lower(), add_special_tokens=False)["input_ids"]
    if not ids or set(ids) & set(MARKS.values()):
        raise InputError(f"a phrase must be words without '.' and '?', got {phrase!r}; take them out, or leave it out.")
    if len(ids) > most:
        raise InputError(f"a phrase must be at most {most} word pieces, got {len(ids)} in {phrase[:40]!r}; shorten it.")
    return ids


def check_tokenizer(tokenizer: PreTrainedTokenizerFast, size: int) -> None:
    """InputError unless marks have the numbers that the model looks for and all numbers are below its size."""
    numbers = dict(zip(MARKS, tokenizer.convert_tokens_to_ids(list(MARKS)), strict=True))
    if numbers != MARKS:
        raise InputError(f"a tokenizer must number {MARKS}, as BERT's does, got {numbers}; use that of the model.")
    if len(tokenizer) > size:
        raise InputError(
            f"a tokenizer must have at most the {size} words of its model, got {len(tokenizer)}; use that of the model."
        )


def load_tokenizer(source: str, kind: Kind) -> PreTrainedTokenizerFast:
    """BERT's tokenizer from tokenizer.json or else vocab.txt of a source, whatever other files of it ask for."""
    try:
        with quiet():
            options = {"_raise_exceptions_for_missing_entries": False}
            whole = cached_file(source, TOKENIZER_FILE, **options)
            words = None if whole else cached_file(source, VOCABULARY_FILE, **options)
    except OSError:
        whole = words = None
    if whole is None and words is None:
        raise InputError(
            f"{source} must hold {TOKENIZER_FILE} or {VOCABULARY_FILE}, which are not there; restore one, or use a "
            f"model such as {kind.example}."
        )
    marks = {f"{name.lower()}_token": f"[{name}]" for name in ("UNK", "SEP", "PAD", "CLS", "MASK")}
    try:
        if whole:
            return PreTrainedTokenizerFast(tokenizer_file=whole, **marks)
        lines = Path(words).read_text(encoding="utf-8").splitlines()
        return BertTokenizerFast(vocab={word: number for number, word in enumerate(lines)})
    except Exception:  # the tables are read by code that raises plain Exception
        raise InputError(
            f"{TOKENIZER_FILE if whole else VOCABULARY_FILE} of {source} must be a tokenizer's, got a damaged file; "
            "restore it."
        ) from None


def tokenizer_documents(tokenizer: PreTrainedTokenizerFast) -> dict[str, dict]:
    """The files of a tokenizer by name, in the published format."""
    names = ("unk", "sep", "pad", "cls", "mask")
    config = {
        "tokenizer_class": "BertTokenizer",
        "do_lower_case": True,
        "model_max_length": 512,
        **{f"{name}_token": f"[{name.upper()}]" for name in names},
    }
    return {TOKENIZER_FILE: json.loads(tokenizer.backend_tokenizer.to_str()), TOKENIZER_CONFIG_FILE: config}
