"""What is usual in this company: the thresholds that make "high", "low" and "late" relative."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields

import numpy as np
from numpy.typing import NDArray

from training.prior import column

Float = NDArray[np.float64]


@dataclass(frozen=True)
class StageThresholds:
    """The numbers in the rules of the lifecycle stages; fitted, and stored with the model.

    Attributes
    ----------
    silent_days : float
        Silence beyond this many days is the stage ``churned``.
    activation_days : float
        A first order (or the first after a silence) is recent up to this age, in days.
    churn_high, churn_low : float
        A churn probability above ``churn_high`` is high here; up to ``churn_low`` it is low.
    value_high : float
        An annual value from this amount on is high here, in the workspace's currency.
    lateness_high : float
        A customer is late beyond this multiple of the usual gap between purchases.
    company_gap_days : float
        The usual gap in days where a customer has none yet; NaN if nobody ever bought twice.
    grace_days : float
        After a contract's end, in days, in which a renewal still counts.
    """

    silent_days: float
    activation_days: float
    churn_high: float
    churn_low: float
    value_high: float
    lateness_high: float
    company_gap_days: float
    grace_days: float = 30.0

    def to_dict(self) -> dict[str, float]:
        """Give the thresholds as plain numbers, for an artefact.

        >>> thresholds = StageThresholds(91, 30, 0.7, 0.3, 200, 2, 45)
        >>> StageThresholds.from_dict(thresholds.to_dict()) == thresholds
        True
        """
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, float]) -> StageThresholds:
        """Read what `to_dict` wrote.

        Raises
        ------
        ValueError
            A threshold is missing or unknown; the message names it.

        >>> StageThresholds.from_dict({"silent_days": 91})
        Traceback (most recent call last):
        ...
        ValueError: stage thresholds lack activation_days, churn_high, ...; fit them again
        """
        names = [field.name for field in fields(cls)]
        if missing := [name for name in names if name not in values]:
            raise ValueError(f"stage thresholds lack {', '.join(missing)}; fit them again")
        if unknown := sorted(set(values) - set(names)):
            raise ValueError(f"unknown stage thresholds {', '.join(unknown)}; fit them again")
        return cls(**{name: float(values[name]) for name in names})


CHURN_HIGH_QUANTILE = 0.75
"""Above this quantile of the active customers' churn probability it is high for this company."""
CHURN_LOW_QUANTILE = 0.5
VALUE_SHARE = 0.6
"""The most valuable active customers who hold this share of all value are of high value."""


def fit_thresholds(
    matrix: Float,
    churn_probability: Float,
    annual_value: Float,
    horizon_days: int,
    silent_days: int | None,
    activation_days: int | None,
    grace_days: int = 30,
) -> StageThresholds:
    """Fit what "high", "low" and "late" mean on the customers of one day.

    Parameters
    ----------
    matrix
        Features of customers who have bought, in the catalogue's order.
    annual_value
        Expected value of the next twelve months, in currency.
    silent_days, activation_days
        Set by hand; None to fit: the horizon, and the usual gap within two weeks and the horizon.
    """
    silent = float(silent_days if silent_days is not None else horizon_days)
    active = active_customers(matrix, silent)
    # Who is kept by a contract for longer than is foretold is safe whatever they do.
    open_ = active & ~(column(matrix, "contract_days_left") > silent)
    told = churn_probability[open_ if open_.any() else active]
    gaps = column(matrix, "gap_mean_days")
    usual = float(np.nanmedian(gaps)) if np.isfinite(gaps).any() else float("nan")
    fitted = float(np.clip(usual if np.isfinite(usual) else 30.0, 14.0, horizon_days))
    with np.errstate(invalid="ignore", divide="ignore"):
        relative = column(matrix, "gap_last_days") / gaps
    relative = relative[np.isfinite(relative)]
    late = float(np.quantile(relative, 0.9)) if len(relative) else 2.0
    return StageThresholds(
        silent_days=silent,
        activation_days=float(activation_days) if activation_days is not None else round(fitted),
        churn_high=float(np.quantile(told, CHURN_HIGH_QUANTILE)),
        churn_low=float(np.quantile(told, CHURN_LOW_QUANTILE)),
        value_high=holds_share(annual_value[active], VALUE_SHARE),
        lateness_high=float(np.clip(late, 1.5, 4.0)),
        company_gap_days=usual,
        grace_days=float(grace_days),
    )


def active_customers(matrix: Float, silent_days: float) -> NDArray[np.bool_]:
    """Mark who has bought within the silence that is churn; all, if nobody has."""
    active: NDArray[np.bool_] = column(matrix, "recency_days") <= silent_days
    return active if active.any() else np.ones(len(matrix), dtype=bool)


def holds_share(value: Float, share: float) -> float:
    """Smallest value among the top customers who together hold a share of the total."""
    descending = np.sort(np.maximum(value, 0.0))[::-1]
    if descending.sum() == 0:
        return float("inf")
    position = int(np.searchsorted(np.cumsum(descending), share * descending.sum()))
    return float(descending[min(position, len(descending) - 1)])
