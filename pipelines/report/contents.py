"""All that a report says, before it is put into words and pictures."""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass
from datetime import date
from typing import Any

import numpy as np

from pipelines.report.acquisition import Acquisition
from pipelines.report.actions import Actions
from pipelines.report.journey import Journey
from pipelines.report.loss import Loss
from pipelines.report.periods import Period
from pipelines.report.points import Series
from pipelines.report.predictions import Predictions
from pipelines.report.retention import Retention
from pipelines.report.stages import Flow, Observed, StageRow
from pipelines.report.worth import Worth
from pipelines.watching.kept import Health


@dataclass(frozen=True)
class Contents:
    """The facts of a report.

    Attributes
    ----------
    as_of
        The day that it speaks of; nothing that came to be known later is in it.
    periods
        Whole periods, oldest first: what is compared.
    silent_days, horizon_days
        Silence beyond the first is loss; predictions are of the second.
    customers, buyers
        Known by the day, and those of them who have bought.
    stages, flow, worth, predictions
        What the models say; None, or empty, where none has been promoted.
    hindsight
        Whether the model had learned from what came after the day of the report.
    filled
        Days that were scored for this report, in hindsight.
    health
        What the newest `lifecycle watch` told; None where there was none lately.
    """

    name: str
    currency: str
    as_of: date
    periods: tuple[Period, ...]
    silent_days: int
    horizon_days: int
    margin: float
    customers: int
    buyers: int
    tables: tuple[str, ...]
    trade: tuple[Series, ...]
    acquisition: Acquisition
    journey: Journey
    development: tuple[Series, ...]
    retention: Retention
    loss: Loss
    observed: Observed
    actions: Actions
    stages: tuple[StageRow, ...]
    flow: Flow | None
    worth: Worth | None
    predictions: Predictions | None
    model_version: int | None
    hindsight: bool
    filled: tuple[date, ...]
    health: Health | None

    @property
    def period(self) -> Period:
        """The newest whole period."""
        return self.periods[-1]

    @property
    def series(self) -> tuple[Series, ...]:
        """Every indicator over periods, in the order of a customer's life."""
        return (
            *self.trade,
            *self.journey.series,
            *self.acquisition.series,
            *self.development,
            *self.retention.series,
            *self.loss.series,
        )

    def indicator(self, key: str) -> Series:
        """Find an indicator by its key.

        Raises
        ------
        KeyError
            There is none of that name.
        """
        return next(one for one in self.series if one.key == key)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON: every indicator by its key, and every other fact."""
        told = {
            field.name: plain(getattr(self, field.name))
            for field in fields(self)
            if field.name not in _SERIES
        }
        told["periods"] = [
            {"key": one.key, "first": one.first.isoformat(), "last": one.last.isoformat()}
            for one in self.periods
        ]
        told["indicators"] = {
            one.key: {
                "theme": one.theme,
                "unit": one.unit,
                "missing": one.missing,
                "periods": {
                    period.key: plain(point)
                    for period, point in zip(self.periods, one.points, strict=False)
                },
            }
            for one in self.series
        }
        for name in ("acquisition", "journey", "retention", "loss"):
            del told[name]["series"]
        return told


_SERIES = ("trade", "development", "periods")


def plain(value: Any) -> Any:  # noqa: ANN401 - whatever a fact is
    """Turn facts into what JSON knows.

    >>> from pipelines.report.points import Point
    >>> plain((Point(0.5, 0.4, 0.6, 9), date(2024, 1, 31)))
    [{'value': 0.5, 'low': 0.4, 'high': 0.6, 'of': 9}, '2024-01-31']
    """
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, date):
        return value.isoformat()
    return value
