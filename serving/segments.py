"""Segments: whom an action is for beside its stages, in the words of the playbook.

An entry names facts of a customer; all of them must hold, and what is unknown holds nothing::

    segments:
      risk_band: [mid, high]         # one of these
      region: [North, South]
      clv_12m: {at_least: 50}        # from 50 on
      purchases: {at_least: 2, below: 10}
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field, ValidationError

from features import catalogue
from features.definitions.rows import said_by
from features.edited import Entry, Place, in_words, mistake, mistakes
from features.matrix import Vocabulary
from serving.bands import BANDS
from training.tiers import TIERS
from training.value import CLV_MONTHS

Flags = NDArray[np.bool_]

BANDED = {"risk_band": BANDS, "value_band": BANDS, "value_tier": TIERS}
"""Facts that are relative to the company, and their values."""
PREDICTED = (
    "churn_probability", "expected_spend", *(f"clv_{n}m" for n in CLV_MONTHS), "profit_to_date",
)  # fmt: skip
_MEANINGS = {
    "risk_band": "risk for this company",
    "value_band": "value over 12 months for this company",
    "value_tier": "tier by value over 12 months and profit to date",
    "profit_to_date": "margin so far less all costs that are known",
    "churn_probability": "chance of no purchase within the horizon (under contract: of being lost "
    "by its end), 0 to 1",
    "expected_spend": "mean net spend within the horizon",
}
# Consent is no segment: it decides by itself. What was done last is what only_after names.
_NO_SEGMENTS = ("as_of_day", "marketing_consent", "treatment_last", *catalogue.LISTED)
_FEATURES = {f.name: f for f in catalogue.FEATURES if f.name not in _NO_SEGMENTS}
LABELLED = (*BANDED, *(name for name, f in _FEATURES.items() if f.kind == "category"))
"""Facts of which a segment lists the values."""
NUMBERED = (*PREDICTED, *(name for name, f in _FEATURES.items() if f.kind != "category"))
"""Facts of which a segment says the range."""


class Range(Entry):
    """A range of a number: from one value on, below another, or both.

    >>> Range(at_least=10, below=10)
    Traceback (most recent call last):
    ...
    pydantic_core._pydantic_core.ValidationError: 1 validation error for Range
      nothing is at least 10.0 and below 10.0; make at_least < below ...
    """

    at_least: float | None = Field(None, description="from this value on")
    below: float | None = Field(None, description="less than this value")

    def model_post_init(self, context: object, /) -> None:
        """Refuse what no number can be in."""
        if self.at_least is None and self.below is None:
            raise mistake("a range has at_least, below or both; add one")
        if None not in (self.at_least, self.below) and not self.at_least < self.below:  # type: ignore[operator]
            raise mistake(
                "nothing is at least {low} and below {high}; make at_least < below",
                low=self.at_least,
                high=self.below,
            )


Condition = tuple[str, ...] | Range


def _checked(given: Any) -> Any:  # noqa: ANN401 - of a file
    if not isinstance(given, dict):
        raise mistake("segments name facts of a customer, e.g. risk_band: [high]; write them so")
    if error := mistakes(_wrong(given)):
        raise error
    return given


def _wrong(given: Mapping[Any, Any]) -> Iterator[tuple[Place, str]]:
    for fact, condition in given.items():
        place = (str(fact),)
        if fact in LABELLED:
            yield from ((place, text) for text in _wrong_labels(fact, condition))
        elif fact not in NUMBERED:
            yield place, _unknown(str(fact))
        elif isinstance(condition, dict):
            yield from (((fact, *inner), text) for inner, text in _wrong_range(condition))
        elif not isinstance(condition, Range):
            yield place, "this is a number; say its range, e.g. {at_least: 10, below: 50}"


def _wrong_range(given: Mapping[Any, Any]) -> Iterator[tuple[Place, str]]:
    try:
        Range.model_validate(given)
    except ValidationError as error:
        yield from in_words(error)


def _wrong_labels(fact: str, condition: object) -> Iterator[str]:
    if not isinstance(condition, list | tuple) or not condition:
        yield f"list the values that it may have, e.g. [{', '.join(_examples(fact))}]"
        return
    for label in condition:
        if not isinstance(label, str):
            yield (
                f"YAML reads a value as {label!r} (it does so with numbers, yes, no, on and off); "
                "put it in quotes"
            )
        elif label not in BANDED.get(fact, (label,)):
            yield f"unknown {fact} {label}; use one of {', '.join(BANDED[fact])}"


def _unknown(fact: str) -> str:
    if fact == "marketing_consent":
        return "consent decides by itself, by the action's purpose; remove it"
    if fact == "treatment_last":
        return "what was done before is said by only_after and not_within; use these"
    if fact in ("stage", "lifecycle_stage"):
        return "stages have an entry of their own; name them in stages"
    if near := get_close_matches(fact, MEANINGS, 1):
        return f"no fact of a customer has this name; did you mean {near[0]}?"
    labels = ", ".join(LABELLED)
    return (
        f"no fact of a customer has this name; use one of {labels}, {', '.join(PREDICTED)} or a "
        "feature of docs/reference.md"
    )


def _examples(fact: str) -> Iterable[str]:
    return BANDED[fact][1:] if fact in BANDED else ("North", "South")


def _meaning(fact: str) -> str:
    if fact in _FEATURES:
        return f"{_FEATURES[fact].meaning} ({_FEATURES[fact].unit})"
    return _MEANINGS.get(fact, f"value over {fact.strip('clv_m')} months, net of costs")


MEANINGS: Mapping[str, str] = {fact: _meaning(fact) for fact in (*LABELLED, *NUMBERED)}
"""What each fact means that a segment may name."""
Segments = Annotated[dict[str, Condition], BeforeValidator(_checked)]


def sensitive_facts(attributes: Iterable[str]) -> frozenset[str]:
    """Name the facts that say what attributes of `customers` say.

    >>> sorted(sensitive_facts(["age_group", "registered_at"]))
    ['age_group', 'registered_days', 'registered_to_first_purchase_days']
    """
    return frozenset(fact for name in attributes for fact in said_by(name))


@dataclass(frozen=True)
class Admission:
    """The segments of some actions, ready for rows of features.

    Attributes
    ----------
    actions
        How many there are in all.
    conditions
        For each action with segments, by its place, what must hold: a fact and the codes that it
        may have, or its range.
    """

    actions: int
    conditions: tuple[tuple[int, tuple[tuple[str, frozenset[int] | Range], ...]], ...]

    @classmethod
    def of(cls, segments: Sequence[Mapping[str, Condition]], vocabulary: Vocabulary) -> Admission:
        """Read the segments of actions in their order, in the codes of a model.

        A label for which the model has no code of its own is none of its customers'.
        """
        return cls(
            len(segments),
            tuple(
                (place, tuple((fact, _coded(fact, one, vocabulary)) for fact, one in own.items()))
                for place, own in enumerate(segments)
                if own
            ),
        )

    @property
    def facts(self) -> frozenset[str]:
        """What must be known of customers."""
        return frozenset(fact for _, own in self.conditions for fact, _ in own)

    def admitted(self, facts: Mapping[str, NDArray[Any]], rows: int) -> Flags | None:
        """Say which customers are in the segments of which actions; None where all are.

        Parameters
        ----------
        facts
            Each of :attr:`facts`, a row a customer; labels as codes, those of bands below 0 and
            others NaN where unknown.

        Returns
        -------
        bool array of shape (rows, actions), or None

        Examples
        --------
        >>> rich = {"value_band": ("high",), "purchases": Range(at_least=2)}
        >>> made = Admission.of([rich, {}], Vocabulary())
        >>> facts = {"value_band": np.array([2, 2, 1]), "purchases": np.array([2, np.nan, 9])}
        >>> made.admitted(facts, 3).tolist()
        [[True, True], [False, True], [False, True]]
        """
        if not self.conditions:
            return None
        inside = np.ones((rows, self.actions), dtype=np.bool_)
        for place, own in self.conditions:
            for fact, condition in own:
                inside[:, place] &= _holds(condition, facts[fact])
        return inside


def _coded(fact: str, condition: Condition, vocabulary: Vocabulary) -> frozenset[int] | Range:
    if isinstance(condition, Range):
        return condition
    known = BANDED[fact] if fact in BANDED else vocabulary.labels.get(fact, ())
    return frozenset(known.index(label) for label in condition if label in known)


def _holds(condition: frozenset[int] | Range, cells: NDArray[Any]) -> Flags:
    # NaN is in no range and equals no code.
    holds: Flags
    if isinstance(condition, Range):
        holds = ~np.isnan(cells)
        if condition.at_least is not None:
            holds &= cells >= condition.at_least
        if condition.below is not None:
            holds &= cells < condition.below
        return holds
    holds = np.zeros(cells.shape, dtype=np.bool_)
    for code in condition:
        holds |= cells == code
    return holds
