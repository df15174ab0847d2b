"""Facts of customers in words, in one language, with one model's labels and usual values."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from features import catalogue
from features.matrix import Vocabulary
from serving.numerals import SPELLERS, number
from serving.sentences import Case, Cases, Language, Part, Piece, Slot, load_table

Float = NDArray[np.float64]
Bool = NDArray[np.bool_]
Int = NDArray[np.int64]

_PLACE = {name: place for place, name in enumerate(catalogue.NAMES)}
_TABLE = {feature.name: feature.table for feature in catalogue.FEATURES}


class Teller:
    """One language with one model's labels, usual values and currency filled in.

    Parameters
    ----------
    language
        One of :data:`LANGUAGES`.
    vocabulary
        What the codes of categories stand for.
    usual
        Medians of the company's active customers by feature.
    currency
        Told with money; ISO 4217.
    """

    def __init__(
        self,
        language: Language,
        vocabulary: Vocabulary,
        usual: Mapping[str, float],
        currency: str,
    ) -> None:
        table = load_table(language)
        self._raises, _, self._raises_end = table.raises.partition("{sentence}")
        self._lowers, _, self._lowers_end = table.lowers.partition("{sentence}")
        self._units = table.units
        self._labels = vocabulary.labels
        self._currency = currency
        self._usual = {
            name: value for name, value in usual.items() if name in _PLACE and math.isfinite(value)
        }
        self._prospect = self._filled(table.prospect)
        self._sentences = {name: self._filled(cases) for name, cases in table.sentences.items()}
        # A label too rare to have a code of its own is unknown; every number is below infinity.
        self._below: Float = np.array(
            [
                float(len(self._labels.get(name, ()))) if name in catalogue.CATEGORIES else math.inf
                for name in catalogue.NAMES
            ]
        )
        # Null is told only where the customer's other facts of the same table are there.
        self._unknown = []
        for source in dict.fromkeys(_TABLE.values()):
            told = {n: cases for n, cases in table.sentences.items() if _TABLE[n] == source}
            silent = [_PLACE[name] for name, cases in told.items() if "unknown" in cases]
            if silent:
                self._unknown.append((silent, [_PLACE[name] for name in told]))

    def tellable(self, matrix: Float) -> Bool:
        """Mark the features that have a sentence for a customer, shape (n, features)."""
        known = matrix < self._below
        found = known.copy()
        for silent, witnesses in self._unknown:
            found[:, silent] |= known[:, witnesses].any(axis=1, keepdims=True)
        return found

    def tell(self, feature: str, matrix: Float, rows: Int) -> list[str]:
        """Tell one feature of some rows of a matrix, in all of which it is tellable."""
        return self._told(feature, self._sentences[feature], matrix, rows)

    def tell_prospects(self, matrix: Float, rows: Int) -> list[str]:
        """Tell what there is of customers who never bought."""
        return self._told("intent_90d", self._prospect, matrix, rows)

    def directed(self, sentence: str, raises: bool) -> str:
        """Say with a sentence in which direction it moves the risk."""
        if raises:
            return f"{self._raises}{sentence}{self._raises_end}"
        return f"{self._lowers}{sentence}{self._lowers_end}"

    def _told(self, feature: str, cases: Cases, matrix: Float, rows: Int) -> list[str]:
        if len(cases) == 1:
            return self._spelt(feature, "known", cases, matrix, rows)
        found: dict[Case, list[int]] = {}
        for place, value in enumerate(matrix[rows, _PLACE[feature]].tolist()):
            found.setdefault(_case(value, cases), []).append(place)
        told = [""] * len(rows)
        for case, places in found.items():
            sentences = self._spelt(feature, case, cases, matrix, rows[places])
            for place, sentence in zip(places, sentences, strict=True):
                told[place] = sentence
        return told

    def _spelt(self, feature: str, case: Case, cases: Cases, matrix: Float, rows: Int) -> list[str]:
        # How far below zero is said in words.
        turned = feature if case == "below" else None
        spelt = [self._piece(piece, matrix, rows, turned) for piece in cases[case]]
        return spelt[0] if len(spelt) == 1 else list(map("".join, zip(*spelt, strict=True)))

    def _piece(self, piece: Piece, matrix: Float, rows: Int, turned: str | None) -> list[str]:
        """Spell the first alternative that is known, row by row; empty where none is."""
        found = [""] * len(rows)
        for parts in reversed(piece):
            columns = [
                [part] * len(rows)
                if isinstance(part, str)
                else self._facts(part, matrix, rows, -1.0 if part.feature == turned else 1.0)
                for part in parts
            ]
            for place, words in enumerate(zip(*columns, strict=True)):
                if None not in words:
                    found[place] = "".join(words)
        return found

    def _facts(self, slot: Slot, matrix: Float, rows: Int, sign: float) -> list[str | None]:
        """Spell one feature of every row; None where it is unknown."""
        values = (sign * matrix[rows, _PLACE[slot.feature]]).tolist()
        if slot.form == "label":
            labels = self._labels.get(slot.feature, ())
            return [labels[int(v)] if v < len(labels) else None for v in values]
        spell = self._speller(slot.form)
        return [None if math.isnan(v) else spell(v) for v in values]

    def _speller(self, form: str) -> Callable[[float], str]:
        if form in SPELLERS:
            return SPELLERS[form]
        if form == "money":
            return lambda value: f"{number(value)} {self._currency}"
        none, one, many = self._units[form]

        def counted(value: float) -> str:
            text = number(value)
            if text == "0":
                return none
            return one if text == "1" else many.replace("{n}", text)

        return counted

    def _filled(self, cases: Cases) -> Cases:
        """Put the company's usual values in, and leave out what is told with those unknown."""
        return {
            case: tuple(
                filled for piece in pieces if (filled := tuple(self._fill(piece)))
            )
            for case, pieces in cases.items()
        }  # fmt: skip

    def _fill(self, alternatives: Piece) -> Iterator[tuple[Part, ...]]:
        for parts in alternatives:
            slots = [part for part in parts if isinstance(part, Slot) and part.usual]
            if all(slot.feature in self._usual for slot in slots):
                yield tuple(
                    self._speller(part.form)(self._usual[part.feature]) if part in slots else part
                    for part in parts
                )


def _case(value: float, cases: Cases) -> Case:
    """Choose how a value is told among the cases that a feature has a sentence for."""
    if math.isnan(value):
        return "unknown"
    if value == 0 and "zero" in cases:
        return "zero"
    return "below" if value < 0 and "below" in cases else "known"
