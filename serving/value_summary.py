"""A scoring by value: profit to date, the grid of value and risk, and what rescues are worth."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from serving.bands import BANDS
from serving.rescue import VERDICTS
from training.profit import ITEMS
from training.profit import NUMBERS as PROFIT
from training.tiers import TIERS

_CELLS = ("value_at_risk", "clv_12m", "profit_to_date")
_RESCUE = ("break_even_cost", "rescue_cost")
SUMMARISED = ("value_tier", "risk_band", "rescue", "clv_12m", "value_at_risk", *PROFIT, *_RESCUE)
_GRID = (len(TIERS), len(BANDS))


class ValueSummary:
    """Adds scores up, batch by batch."""

    def __init__(self) -> None:
        self._counts = np.zeros(_GRID, np.int64)
        self._sums = {name: np.zeros(_GRID) for name in _CELLS}
        self._rescues = np.zeros(len(VERDICTS), np.int64)
        self._rescue_sums = {name: np.zeros(len(VERDICTS)) for name in _RESCUE}
        self._profit = dict.fromkeys(PROFIT, 0.0)
        self._unknown = dict.fromkeys(ITEMS, 0)

    def add(self, batch: pa.RecordBatch) -> None:
        """Count some customers; the columns of :data:`SUMMARISED` are looked at."""
        numbers = {
            name: np.nan_to_num(batch.column(name).to_numpy(zero_copy_only=False))
            for name in (*PROFIT, "value_at_risk", "clv_12m", *_RESCUE)
        }
        tier, risk = _codes(batch, "value_tier", TIERS), _codes(batch, "risk_band", BANDS)
        inside = (tier >= 0) & (risk >= 0)
        cell = np.where(inside, tier * len(BANDS) + risk, 0)
        self._counts += _summed(cell, inside.astype(np.int64), _GRID).astype(np.int64)
        for name in _CELLS:
            self._sums[name] += _summed(cell, np.where(inside, numbers[name], 0.0), _GRID)
        verdict = _codes(batch, "rescue", VERDICTS)
        judged = verdict >= 0
        place = np.where(judged, verdict, 0)
        shape = (len(VERDICTS),)
        self._rescues += _summed(place, judged.astype(np.int64), shape).astype(np.int64)
        for name in _RESCUE:
            self._rescue_sums[name] += _summed(place, np.where(judged, numbers[name], 0.0), shape)
        for name in PROFIT:
            self._profit[name] += float(numbers[name].sum())
        for name in ITEMS:
            self._unknown[name] += batch.column(name).null_count

    def grid(self) -> list[dict[str, Any]]:
        """Give a row for each tier and risk band, the most valuable first."""
        return [
            {
                "value_tier": TIERS[tier],
                "risk_band": BANDS[risk],
                "customers": int(self._counts[tier, risk]),
                **{name: float(sums[tier, risk]) for name, sums in self._sums.items()},
            }
            for tier in reversed(range(len(TIERS)))
            for risk in range(len(BANDS))
        ]

    def rescue(self) -> dict[str, dict[str, float]]:
        """Give, by verdict, how many customers, what rescues would bring, and what they cost."""
        return {
            verdict: {
                "customers": int(self._rescues[place]),
                "brings": float(self._rescue_sums["break_even_cost"][place]),
                "costs": float(self._rescue_sums["rescue_cost"][place]),
            }
            for place, verdict in enumerate(VERDICTS)
        }

    def profit(self) -> dict[str, Any]:
        """Give the total of each item, and of how many customers it is not known."""
        return {
            **self._profit,
            "unknown_of": {name: count for name, count in self._unknown.items() if count},
        }


def _codes(batch: pa.RecordBatch, name: str, labels: tuple[str, ...]) -> NDArray[np.int64]:
    found = pc.index_in(batch.column(name), pa.array(labels)).fill_null(-1)
    codes: NDArray[np.int64] = found.to_numpy(zero_copy_only=False).astype(np.int64)
    return codes


def _summed(
    place: NDArray[np.int64], weights: NDArray[Any], shape: tuple[int, ...]
) -> NDArray[np.float64]:
    sums = np.bincount(place, weights, minlength=int(np.prod(shape)))
    return sums.astype(np.float64).reshape(shape)
