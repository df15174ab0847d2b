"""Slices: customers by any attribute of the customers table, sensitive ones named as such."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.stats import t as student

from features.days import day_number

Float = NDArray[np.float64]

CONTRACTED = ("region", "age_group", "acquisition_channel")
MOST_VALUES = 20
"""Values that are told by name; those of fewer customers are told together."""
FEWEST_NAMED = 3
"""Customers from whom on a value is told by name: what one or two have may be somebody's name."""
TOO_MANY = 200
"""A column with more values than this names people or moments, and is no attribute to slice by."""
FEW = 30
"""A slice of fewer customers says little; its interval says how little."""
OTHER, UNKNOWN = "(other)", "(unknown)"
_CONFIDENCE = 0.95


@dataclass(frozen=True)
class Slices:
    """One attribute's slices.

    Attributes
    ----------
    rows
        A row a value: ``customers``, ``buyers``, mean ``churn_probability`` and ``clv_12m`` of
        buyers with the ends of their 95% intervals, ``profit_to_date`` in all, ``few``.
    """

    attribute: str
    sensitive: bool
    rows: list[dict[str, Any]]


def attributes_on(path: Path | None, as_of: date) -> pl.DataFrame:
    """Read what the customers table says of each customer by the end of a day.

    Of dated rows the newest counts; a row without a date is today's, and counts where nothing
    dated is known.

    Returns
    -------
    polars.DataFrame
        ``customer_id`` and a column of text an attribute, those of the contract first.
    """
    if path is None:
        return pl.DataFrame(schema={"customer_id": pl.Int64})
    day = day_number(as_of)
    rows = (
        pl.read_parquet(path)
        .filter(pl.col("known_day").is_null() | (pl.col("known_day") <= day))
        .sort("valid_from", nulls_last=False)
    )
    own = _own(rows["attributes"].to_list())
    values = [pl.col(name).cast(pl.String) for name in CONTRACTED]
    frame = rows.select("customer_id", *values).with_columns(
        pl.Series(name, [one.get(name) for one in own], dtype=pl.String)
        for name in sorted({key for one in own for key in one})
    )
    names = [name for name in frame.columns if name != "customer_id"]
    return frame.group_by("customer_id", maintain_order=True).agg(
        pl.col(name).drop_nulls().last() for name in names
    )


def _own(texts: Sequence[str | None]) -> list[dict[str, str]]:
    """Read the file's own columns; what is no text is spelt."""
    return [
        {
            name: value if isinstance(value, str) else json.dumps(value)
            for name, value in (json.loads(text) if text else {}).items()
            if value is not None
        }
        for text in texts
    ]


def slice_by(
    scored: pl.DataFrame, attributes: pl.DataFrame, sensitive: Sequence[str], asked: Sequence[str]
) -> tuple[list[Slices], dict[str, str]]:
    """Slice scored customers by each attribute that says anything.

    Parameters
    ----------
    scored
        ``customer_id``, ``is_buyer``, ``churn_probability``, ``clv_12m``, ``profit_to_date``.
    asked
        Slice by these alone; empty for all.

    Returns
    -------
    slices, left_out
        The latter by attribute, with the reason.
    """
    names = [name for name in attributes.columns if name != "customer_id"]
    found, left_out = [], {}
    joined = scored.join(attributes, on="customer_id", how="left")
    for name in asked or names:
        values = joined[name].drop_nulls()
        if values.is_empty():
            left_out[name] = "says nothing of anybody"
        elif values.n_unique() > TOO_MANY:
            left_out[name] = f"has {values.n_unique():,} values, which is no attribute to slice by"
        else:
            found.append(Slices(name, name in sensitive, _rows(joined, name)))
    return found, left_out


def _rows(joined: pl.DataFrame, name: str) -> list[dict[str, Any]]:
    sizes = joined.group_by(name).len().drop_nulls(name).filter(pl.col("len") >= FEWEST_NAMED)
    common = sizes.sort(["len", name], descending=[True, False])[name].to_list()[:MOST_VALUES]
    value = (
        pl.when(pl.col(name).is_null())
        .then(pl.lit(UNKNOWN))
        .when(pl.col(name).is_in(common))
        .then(pl.col(name))
        .otherwise(pl.lit(OTHER))
    )
    groups = joined.with_columns(value.alias("_value")).partition_by("_value", as_dict=True)
    order = [*common, OTHER, UNKNOWN]
    return [_row(one, groups[one,]) for one in dict.fromkeys(order) if (one,) in groups]


def _row(value: str, rows: pl.DataFrame) -> dict[str, Any]:
    buyers = rows.filter("is_buyer")
    return {
        "value": value,
        "customers": rows.height,
        "buyers": buyers.height,
        **_mean("churn_probability", buyers["churn_probability"].to_numpy(), (0.0, 1.0)),
        **_mean("clv_12m", buyers["clv_12m"].to_numpy(), (-np.inf, np.inf)),
        "profit_to_date": float(rows["profit_to_date"].sum()),
        "few": buyers.height < FEW,
    }


def _mean(name: str, values: Float, bounds: tuple[float, float]) -> Mapping[str, float | None]:
    """Give a mean with its 95% interval by Student's t; no interval of one, no mean of none."""
    ends: tuple[float | None, float | None] = (None, None)
    if len(values) > 1:
        error = float(values.std(ddof=1)) / np.sqrt(len(values))
        half = float(student.ppf((1 + _CONFIDENCE) / 2, len(values) - 1)) * error
        middle = float(values.mean())
        ends = (max(middle - half, bounds[0]), min(middle + half, bounds[1]))
    return {
        name: float(values.mean()) if len(values) else None,
        f"{name}_lower": ends[0],
        f"{name}_upper": ends[1],
    }
