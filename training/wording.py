"""Sentences with a company's numbers in them, as a person writes them into a file.

What stands in braces is a number that is the same for everybody, told as days, a share or a plain
number; what stands in square brackets is left out where a number in it is unknown.

>>> company = {"longest": "number", "gap": "number", "high": "number"}
>>> sentence = Wording.parse("Silent for {longest:days}[, usually {gap:days}].", company)
>>> sentence.told({"longest": 91.25, "gap": 1.0}, "en")
'Silent for 91.25 days, usually 1 day.'
>>> sentence.told({"longest": 1000.0, "gap": float("nan")}, "en")
'Silent for 1,000 days.'
>>> Wording.parse("流失风险高于 {high:percent}", company).told({"high": 0.5479}, "zh")
'流失风险高于 54.79%'
>>> Wording.parse("up to {hihg}", company)
Traceback (most recent call last):
...
training.expressions.ExpressionError: hihg is unknown; did you mean high?
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from training.expressions import Ask, Expression, ExpressionError, Kind, parse

Language = Literal["en", "zh"]

FORMS = ("number", "days", "percent")
_PIECE = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True)
class _Number:
    ask: Ask
    form: str


@dataclass(frozen=True)
class Wording:
    """A sentence in parts: runs of text and numbers, of which some are left out together."""

    parts: tuple[tuple[bool, tuple[str | _Number, ...]], ...]

    @classmethod
    def parse(cls, text: str, names: Mapping[str, Kind | Expression]) -> Wording:
        """Read a sentence.

        Raises
        ------
        ExpressionError
            A bracket is not closed, or a number is not of the company.
        """
        parts = []
        for place, run in enumerate(_runs(text)):
            parts.append((place % 2 == 1, tuple(_pieces(run, names))))
        return cls(tuple(parts))

    def told(self, numbers: Mapping[str, float], language: Language) -> str:
        """Put a company's numbers in."""
        said = []
        for optional, pieces in self.parts:
            values = {
                piece: float(piece.ask(numbers)) for piece in pieces if isinstance(piece, _Number)
            }
            if optional and not all(math.isfinite(value) for value in values.values()):
                continue
            said += [
                _written(values[piece], piece.form, language)
                if isinstance(piece, _Number)
                else piece
                for piece in pieces
            ]
        return "".join(said)


def _runs(text: str) -> list[str]:
    """Split at square brackets: every second run stood in a pair of them."""
    marks = re.findall(r"[\[\]]", text)
    if marks != ["[", "]"] * (len(marks) // 2):
        raise ExpressionError("its square brackets do not match; close each before the next")
    return re.split(r"[\[\]]", text)


def _pieces(run: str, names: Mapping[str, Kind | Expression]) -> list[str | _Number]:
    pieces: list[str | _Number] = []
    for place, piece in enumerate(_PIECE.split(run)):
        if place % 2 == 0:
            if "{" in piece or "}" in piece:
                raise ExpressionError("its braces do not match; write a number as {silent_days}")
            pieces += [piece] if piece else []
            continue
        name, _, form = piece.partition(":")
        form = form.strip() or "number"
        if form not in FORMS:
            raise ExpressionError(f"{form} is no way to tell a number; use {', '.join(FORMS)}")
        number = parse(name, names)
        if number.kind != "number":
            raise ExpressionError(f"{name.strip()} is no number; name one of the company's")
        pieces.append(_Number(number.bind({}), form))
    return pieces


def _written(value: float, form: str, language: Language) -> str:
    number = f"{value * 100 if form == 'percent' else value:,.2f}".rstrip("0").rstrip(".")
    if form == "percent":
        return f"{number}%"
    if form == "days":
        if language == "zh":
            return f"{number} 天"
        return f"{number} day" if number == "1" else f"{number} days"
    return number
