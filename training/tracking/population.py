"""How the customers of a day looked as a whole: what a later day is compared with.

Shares of tenths, labels that many customers share, quantiles of answers: nothing is of a person.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from features import catalogue
from features.matrix import Vocabulary, matrix_of
from training.bundle import ScorerBundle
from training.dataset import TREE_FEATURES

Float = NDArray[np.float64]

TENTHS = np.arange(1, 10) / 10
ASKED = 5_000
"""Customers of whom a scorer is asked; a training's stand in no order."""
QUANTILES = np.arange(1, 20) / 20
"""Which quantiles of the answers are kept: the ends would be a few persons'."""


@dataclass(frozen=True)
class Spread:
    """How one feature lay.

    Attributes
    ----------
    edges
        Of a number: upper ends of all bins but the last.
    labels
        Of a category: those with a bin of their own; all others share one more.
    shares
        Of customers in each bin; the last is of those of whom it is not known.
    middle
        Median of a number where known, else None.
    """

    edges: tuple[float, ...]
    labels: tuple[str, ...]
    shares: tuple[float, ...]
    middle: float | None

    @classmethod
    def of(cls, values: pa.ChunkedArray, labels: tuple[str, ...] | None) -> Spread:
        """Describe a column; ``labels`` are given of a category, and None of a number.

        >>> zeros = Spread.of(pa.chunked_array([[0.0] * 6 + [1.0, 2.0, None, None]]), None)
        >>> zeros.edges, [round(share, 2) for share in zeros.shares], zeros.middle
        ((0.0, 1.0, 2.0), [0.6, 0.1, 0.1, 0.0, 0.2], 0.0)
        """
        if labels is not None:
            return cls((), labels, _label_shares(values, labels), None)
        numbers = _numbers(values)
        known = numbers[np.isfinite(numbers)]
        if not len(known):
            return cls((), (), _number_shares(numbers, ()), None)
        found = np.quantile(known, TENTHS, method="inverted_cdf")
        edges = tuple(float(edge) for edge in np.unique(found))
        return cls(edges, (), _number_shares(numbers, edges), float(np.median(known)))

    def shares_of(self, values: pa.ChunkedArray) -> tuple[float, ...]:
        """Put other customers into the same bins.

        >>> region = Spread.of(pa.chunked_array([["n", "n", "s", None]]), ("n",))
        >>> region.shares, region.shares_of(pa.chunked_array([["n", "x", "s", "n"]]))
        ((0.5, 0.25, 0.25), (0.5, 0.5, 0.0))
        """
        if pa.types.is_string(values.type) or self.labels:
            return _label_shares(values, self.labels)
        return _number_shares(_numbers(values), self.edges)


@dataclass(frozen=True)
class Said:
    """What a scorer said of some customers: means, and quantiles at :data:`QUANTILES`."""

    churn: float
    spend: float
    churn_quantiles: tuple[float, ...]
    spend_quantiles: tuple[float, ...]

    @classmethod
    def by(cls, bundle: ScorerBundle, customers: pa.Table, threads: int) -> Said:
        """Ask a scorer of the first few."""
        customers = customers.slice(0, ASKED)
        said = bundle.predict(matrix_of(customers, bundle.vocabulary), threads)
        churn, spend = said.churn_probability, said.expected_spend
        return cls(
            float(churn.mean()),
            float(spend.mean()),
            tuple(np.quantile(churn, QUANTILES).round(6).tolist()),
            tuple(np.quantile(spend, QUANTILES).round(6).tolist()),
        )


@dataclass(frozen=True)
class Population:
    """The customers of the day of a training.

    Attributes
    ----------
    customers
        Who had bought by then.
    features
        Name to spread, of the features that the trees learn from.
    said
        What the scorer of that training said of them.
    """

    as_of: date
    customers: int
    features: Mapping[str, Spread]
    said: Said

    @classmethod
    def of(cls, bundle: ScorerBundle, today: pa.Table, customers: int, threads: int) -> Population:
        """Describe customers as a scorer found them."""
        return cls(
            bundle.as_of,
            customers,
            {name: Spread.of(today[name], _labels(name, bundle.vocabulary))
             for name in TREE_FEATURES},
            Said.by(bundle, today, threads),
        )  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**asdict(self), "as_of": self.as_of.isoformat()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Population:
        """Undo :meth:`to_dict`."""
        spreads = {
            name: Spread(
                tuple(one["edges"]), tuple(one["labels"]), tuple(one["shares"]), one["middle"]
            )
            for name, one in values["features"].items()
        }
        said = values["said"]
        quantiles = (tuple(said["churn_quantiles"]), tuple(said["spend_quantiles"]))
        return cls(
            date.fromisoformat(values["as_of"]),
            values["customers"],
            spreads,
            Said(said["churn"], said["spend"], *quantiles),
        )


def _labels(name: str, vocabulary: Vocabulary) -> tuple[str, ...] | None:
    return vocabulary.labels.get(name, ()) if name in catalogue.CATEGORIES else None


def _numbers(values: pa.ChunkedArray) -> Float:
    numbers: Float = values.cast(pa.float64()).to_numpy()
    return numbers


def _number_shares(numbers: Float, edges: tuple[float, ...]) -> tuple[float, ...]:
    bins = np.searchsorted(np.array(edges), numbers, side="left")
    bins[~np.isfinite(numbers)] = len(edges) + 1
    return _shares(bins, len(edges) + 2)


def _label_shares(values: pa.ChunkedArray, labels: tuple[str, ...]) -> tuple[float, ...]:
    places = pc.index_in(values.cast(pa.string()), pa.array(labels, pa.string()))
    bins = pc.if_else(pc.is_valid(values), pc.fill_null(places, len(labels)), len(labels) + 1)
    return _shares(bins.to_numpy().astype(np.int64), len(labels) + 2)


def _shares(bins: NDArray[np.int64], count: int) -> tuple[float, ...]:
    return tuple((np.bincount(bins, minlength=count) / max(len(bins), 1)).round(6).tolist())
