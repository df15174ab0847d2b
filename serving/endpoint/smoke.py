"""What a new model must answer sensibly before it answers anyone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from features import catalogue
from features.days import day_number
from features.errors import WorkspaceError
from serving.scorer import Scorer

Float = NDArray[np.float64]

_PLACE = {name: place for place, name in enumerate(catalogue.NAMES)}


def smoke_rows(scorer: Scorer) -> Float:
    """Make up customers of whom any model must be able to say something.

    Returns
    -------
    array
        Float64, shape (n, features): the customer of the middle, the same a year silent, on the
        first order, with everything unknown but the orders, with values a thousand times as large,
        and someone who never bought.
    """
    middle = scorer.bundle.middle
    usual = np.full(len(_PLACE), np.nan)
    for name, value in middle.usual.items():
        usual[_PLACE[name]] = value
    usual[_PLACE["as_of_day"]] = float(day_number(scorer.bundle.as_of))
    facts = {
        "purchases": max(middle.purchase_days, 1.0),
        "purchase_days": max(middle.purchase_days, 1.0),
        "recency_days": middle.recency_days,
        "tenure_days": max(middle.tenure_days, middle.recency_days),
    }
    for name, value in facts.items():
        usual[_PLACE[name]] = value
    silent = _with(usual, recency_days=facts["recency_days"] + 365)
    silent = _with(silent, tenure_days=facts["tenure_days"] + 365)
    once = _with(usual, purchases=1.0, purchase_days=1.0, recency_days=0.0, tenure_days=0.0)
    bare = np.full(len(_PLACE), np.nan)
    for name in (*facts, "as_of_day", "order_value_first", "monetary_value"):
        bare[_PLACE[name]] = usual[_PLACE[name]]
    large = usual.copy()
    money = [_PLACE[f.name] for f in catalogue.FEATURES if f.kind == "measure"]
    large[money] *= 1000
    never = _with(np.full(len(_PLACE), np.nan), purchases=0.0, as_of_day=usual[_PLACE["as_of_day"]])
    return np.stack([usual, silent, once, bare, large, never])


def check_smoke(scorer: Scorer) -> None:
    """Let a scorer answer for made-up customers, reasons and actions included.

    Raises
    ------
    WorkspaceError
        An answer cannot be one; the message says which.
    """
    found = scorer.score(smoke_rows(scorer))
    said = found.predictions
    numbers = said.numbers()
    for name, values in numbers.items():
        if not np.isfinite(values).all():
            _refuse(scorer, f"{name} is no number")
    probability = said.churn_probability
    if not ((probability >= 0) & (probability <= 1)).all():
        _refuse(scorer, "a churn probability lies outside 0 to 1")
    if not (np.diff(said.upper - said.lower, axis=1) >= 0).all() or (said.lower > said.upper).any():
        _refuse(scorer, "an interval is turned around, or narrower than one that promises less")
    mixture = (1 - probability) * said.spend_if_purchase + probability * said.spend_if_none
    if not np.allclose(mixture, said.expected_spend, rtol=1e-9, atol=1e-9):
        _refuse(scorer, "the expected spend is not what it is made of")
    scorer.answers(found)


def _refuse(scorer: Scorer, problem: str) -> None:
    raise WorkspaceError(
        f"model version {scorer.model_version} is refused: for a made-up customer {problem}; "
        "promote another version"
    )


def _with(row: Float, **values: float) -> Float:
    changed = row.copy()
    for name, value in values.items():
        changed[_PLACE[name]] = value
    return changed
