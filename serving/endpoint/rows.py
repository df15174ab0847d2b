"""Feature rows that stand in a request: complete, of the right types, and possible."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from features import catalogue
from features.days import day_number, parse_day
from features.errors import InputError
from serving.endpoint.messages import GIVEN, FeatureRow
from serving.endpoint.refusals import Refusal

_GIVEN = frozenset(GIVEN)
_CATEGORIES = frozenset(catalogue.CATEGORIES)
_YES_OR_NO = tuple(f.name for f in catalogue.FEATURES if f.unit == catalogue.YES_OR_NO)
_OF_BUYERS = ("purchase_days", "recency_days", "tenure_days")


def checked_row(place: int, row: FeatureRow) -> dict[str, float | str | None]:
    """Take one row's features with its day.

    Raises
    ------
    Refusal
        A feature is missing, unknown, of another type, or cannot be true of anyone.
    """
    unknown = sorted(set(row.features) - _GIVEN)
    if unknown:
        raise Refusal(400, "unknown_feature", f"rows[{place}]: there is no feature {unknown[0]!r}")
    missing = sorted(_GIVEN - set(row.features))
    if missing:
        raise Refusal(
            400,
            "missing_feature",
            f"rows[{place}] lacks {', '.join(missing)}; give null where a value is unknown",
        )
    try:
        day = day_number(parse_day(row.as_of))
    except InputError as error:
        raise Refusal(400, "bad_day", f"rows[{place}].as_of: {error}") from None
    for name, value in row.features.items():
        _check_type(place, name, value)
    _check_sense(place, row.features)
    return {**row.features, "as_of_day": float(day)}


def _check_type(place: int, name: str, value: float | str | None) -> None:
    """Categories are text and all others numbers; either may be null."""
    if value is None:
        return
    if isinstance(value, str):
        if name not in _CATEGORIES:
            raise _bad(place, name, "must be a number or null, not a text")
    elif name in _CATEGORIES:
        raise _bad(place, name, f"must be a text or null, not the number {value}")
    elif not math.isfinite(value):
        raise Refusal(400, "not_finite", f"rows[{place}].features.{name} is not a number")


def _bad(place: int, name: str, problem: str) -> Refusal:
    return Refusal(400, "bad_feature", f"rows[{place}].features.{name} {problem}")


def _check_sense(place: int, features: Mapping[str, Any]) -> None:
    """Refuse what cannot be true of anyone, as the models would answer it nonetheless."""
    for name in _YES_OR_NO:
        if features[name] not in (None, 0, 1):
            raise _bad(place, name, f"is 0, 1 or null, not {features[name]}")
    if features["purchases"] is None or features["purchases"] < 0:
        raise Refusal(
            400, "bad_feature", f"rows[{place}].features.purchases must be 0 or more, not null"
        )
    if not features["purchases"]:
        return
    for name in _OF_BUYERS:
        value = features[name]
        if value is None or value < (1 if name == "purchase_days" else 0):
            raise Refusal(
                400,
                "bad_feature",
                f"rows[{place}].features.{name} = {value} cannot be true of a customer who "
                "has bought",
            )
    if features["recency_days"] > features["tenure_days"]:
        raise Refusal(
            400,
            "bad_feature",
            f"rows[{place}]: recency_days is greater than tenure_days: the last purchase "
            "cannot lie before the first",
        )
