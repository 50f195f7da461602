"""The words that the mini Grounding DINO knows, in BERT's places."""

from __future__ import annotations

from collections.abc import Sequence

from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

from moca.stage import CLASSES

# Grounding DINO looks for these four by number, so they keep the numbers that they have in BERT.
PLACES = {"[PAD]": 0, "[UNK]": 100, "[CLS]": 101, "[SEP]": 102, "[MASK]": 103, ".": 1012, "?": 1029}
FIRST_WORD = 200


def vocabulary() -> dict[str, int]:
    """Word to number; numbers that no word has belong to unused ones, as in BERT."""
    words = {**PLACES, **{name: FIRST_WORD + number for number, name in enumerate(CLASSES)}}
    taken = set(words.values())
    return words | {f"[unused{number}]": number for number in range(max(taken) + 1) if number not in taken}


def prompt_ids(words: Sequence[str]) -> list[int]:
    """Numbers of the prompt "word . word ." with its marks at both ends."""
    known = vocabulary()
    inner = [number for word in words for number in (known[word], known["."])]
    return [known["[CLS]"], *inner, known["[SEP]"]]


def small_tokenizer() -> PreTrainedTokenizerFast:
    """The tokenizer that splits text as BERT's does, with this vocabulary."""
    known = vocabulary()
    inner = Tokenizer(WordPiece(known, unk_token="[UNK]"))
    inner.normalizer, inner.pre_tokenizer = BertNormalizer(lowercase=True), BertPreTokenizer()
    marks = [(name, known[name]) for name in ("[CLS]", "[SEP]")]
    inner.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=marks
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        unk_token="[UNK]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_max_length=64,
    )
