"""The tables of sentences: one file a language, a sentence a feature, read into pieces.

How a table is written is said at the top of ``sentences_en.yaml``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal, get_args

import yaml

from features import catalogue
from serving.numerals import SPELLERS

Language = Literal["en", "zh"]
Case = Literal["zero", "below", "unknown", "known"]

LANGUAGES: tuple[Language, ...] = get_args(Language)

_FOLDER = Path(__file__).parent
_FEATURES = frozenset(catalogue.NAMES)
_OPTIONAL = re.compile(r"\[([^\]]*)\]")
_SLOT = re.compile(r"\{(usual)?\.?(\w*)(?::(\w+))?\}")


@dataclass(frozen=True)
class Slot:
    """Where a fact stands in a sentence: the customer's, or what is usual in the company."""

    feature: str
    form: str
    usual: bool


Part = str | Slot
Piece = tuple[tuple[Part, ...], ...]
"""Alternatives, of which the first is told whose facts are all known, or none."""
Cases = Mapping[Case, tuple[Piece, ...]]
"""The pieces of a feature's sentence, case by case."""


@dataclass(frozen=True)
class Table:
    """The sentences of one language as they stand in its file."""

    raises: str
    lowers: str
    units: Mapping[str, tuple[str, str, str]]
    prospect: Cases
    sentences: Mapping[str, Cases]
    notes: Mapping[str, str]
    offers: Mapping[str, str]


@lru_cache
def load_table(language: Language) -> Table:
    """Read the file of a language, once."""
    text = (_FOLDER / f"sentences_{language}.yaml").read_text(encoding="utf-8")
    content = yaml.safe_load(text)
    units = {name: _forms(forms) for name, forms in content.get("units", {}).items()}
    return Table(
        content["raises"],
        content["lowers"],
        units,
        _cases("intent_90d", content["prospect"], units),
        {name: _cases(name, entry, units) for name, entry in content["sentences"].items()},
        content["notes"],
        content["offers"],
    )


def _forms(forms: Sequence[str]) -> tuple[str, str, str]:
    none, one, many = forms
    return none, one, many


def _cases(feature: str, entry: str | Mapping[Case, str], units: Mapping[str, object]) -> Cases:
    cases: Mapping[Case, str] = {"known": entry} if isinstance(entry, str) else entry
    return {case: tuple(_parse(feature, text, units)) for case, text in cases.items()}


def _parse(feature: str, text: str, units: Mapping[str, object]) -> Iterator[Piece]:
    """Split a sentence into what is always told and what is told if it is known.

    >>> list(_parse("lateness", "late {lateness}[; gap {gap_mean_days}|]", {}))[0]
    (('late ', Slot(feature='lateness', form='', usual=False)),)
    >>> list(_parse("lateness", "{recency_days} days", {}))
    Traceback (most recent call last):
    ...
    ValueError: the sentence of lateness tells recency_days outside of brackets: ...
    """
    for place, piece in enumerate(_OPTIONAL.split(text)):
        optional = place % 2 == 1
        if not piece:
            continue
        choices = piece.split("|") if optional else [piece]
        parsed = tuple(tuple(_parts(feature, choice)) for choice in choices)
        for part in (part for choice in parsed for part in choice if isinstance(part, Slot)):
            if part.form not in {*SPELLERS, *units, "money", "label"}:
                raise ValueError(f"the sentence of {feature} uses an unknown unit {part.form!r}")
            if part.feature not in _FEATURES:
                raise ValueError(f"the sentence of {feature} tells no feature: {part.feature!r}")
            if not optional and (part.usual or part.feature != feature):
                raise ValueError(
                    f"the sentence of {feature} tells {part.feature} outside of brackets: {text!r}"
                )
        yield parsed


def _parts(feature: str, text: str) -> Iterator[Part]:
    end = 0
    for found in _SLOT.finditer(text):
        if found.start() > end:
            yield text[end : found.start()]
        usual, name, form = found.groups()
        yield Slot(name or feature, form or "", usual is not None)
        end = found.end()
    if end < len(text):
        yield text[end:]
