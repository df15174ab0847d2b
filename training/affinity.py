"""Which categories go together: pairs that are bought together more often than chance has it.

The lift of a pair is how many baskets hold both, over how many would if categories were picked in
proportion to their popularity; a basket is what a customer bought on a day. Support and lift are
those of Agrawal and Srikant (1994, "Fast Algorithms for Mining Association Rules"). A lift of few
baskets is mostly noise: it is shrunk towards 1 by the gamma-Poisson model of DuMouchel (1999,
"Bayesian Data Mining in Large Frequency Tables", The American Statistician 53(3)), with one gamma
of mean 1 in the place of his mixture, and believed by its lower 5% point. As there, expected counts
are summed over strata: a basket of many categories holds any two of them, which tells nothing of
these two.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any

import narwhals as nw
import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.stats import gamma

from features.days import day_number
from features.definitions.expressions import known_by

Float = NDArray[np.float64]
Int = NDArray[np.int64]

MOST_CATEGORIES = 200
"""The most popular ones; pairs of others have no support."""
FEWEST_CUSTOMERS = 20
"""Of a category, and of a pair in customers' worth of baskets."""
LEAST_LIFT = 1.1
"""A pair is named if its lift is above this with a probability of 95%."""
COMPANIONS = 3
"""Kept for each category, the surest first."""
STRATA = (2, 3, 4, 5, 7, 10, 15, 25, np.inf)
"""Numbers of categories in a basket at which strata begin."""


@dataclass(frozen=True)
class Companion:
    """A category that goes with another.

    Attributes
    ----------
    lift
        How many times as often as chance has it they are in one basket; shrunk.
    lift_lower
        Its lower 5% point.
    held
        Of the customers who bought the other, the share who ever bought this, by the number of
        categories that they bought: one for each of `STRATA` but the last.
    """

    category: str
    lift: float
    lift_lower: float
    held: tuple[float, ...]


@dataclass(frozen=True)
class Affinity:
    """What goes with each category, where anything clearly does."""

    companions: Mapping[str, tuple[Companion, ...]] = field(default_factory=dict)

    @classmethod
    def known(cls, orders: Path, as_of: date) -> Affinity:
        """Learn from the lines that were known by a day.

        Parameters
        ----------
        orders
            The ledger's Parquet file.
        """
        lines = known_by(nw.from_native(pl.scan_parquet(orders)), day_number(as_of))
        bought: pl.LazyFrame = (
            lines.filter(
                nw.col("amount_e4") > 0, nw.col("is_product"), ~nw.col("category").is_null()
            )
            .select("customer_id", "event_day", "category")
            .unique()
            .to_native()
        )
        table = bought.collect()
        return cls.of(
            _numbered(table.select("customer_id")),
            _numbered(table.select("customer_id", "event_day")),
            _numbered(table.select("category")),
            table["category"].unique().sort().to_list(),
        )

    @classmethod
    def of(cls, customers: Int, baskets: Int, categories: Int, names: list[str]) -> Affinity:
        """Learn from who bought in which category, a row for each category of each basket.

        Parameters
        ----------
        customers, baskets : int64 arrays
            Numbers from 0 on.
        categories : int64 array
            Indices into ``names``.

        Examples
        --------
        Bread and butter are bought together; tea, by as many, is bought with either as it happens:

        >>> rng = np.random.default_rng(7)
        >>> bread = rng.random(2000) < 0.5
        >>> butter = np.where(rng.random(2000) < 0.8, bread, rng.random(2000) < 0.5)
        >>> others = rng.random((4, 2000)) < 0.5
        >>> who, what = np.nonzero(np.stack([bread, butter, *others]).T)
        >>> found = Affinity.of(who, who, what, ["bread", "butter", "tea", "oil", "salt", "jam"])
        >>> sorted((name, one.category) for name, some in found.companions.items() for one in some)
        [('bread', 'butter'), ('butter', 'bread')]
        """
        if not len(customers):
            return cls()
        ever = _members(customers, categories, len(names)).sign()
        popularity = np.asarray(ever.sum(axis=0)).ravel()
        popular = np.argsort(-popularity, kind="stable")[:MOST_CATEGORIES]
        popular = popular[popularity[popular] >= FEWEST_CUSTOMERS]
        names = [names[place] for place in popular]
        held = _shares(ever, popular)
        both, expected, rows = _counted(_members(baskets, categories, ever.shape[1])[:, popular])
        # The baskets of one customer are alike: they weigh as much as customers, not as baskets.
        owners = np.zeros(int(baskets.max()) + 1, np.int64)
        owners[baskets] = customers
        weight = len(np.unique(owners[rows])) / max(len(rows), 1)
        both, expected = both * weight, expected * weight
        lift, lower = _shrunk(both, expected)
        clear = (lower > LEAST_LIFT) & (both >= FEWEST_CUSTOMERS)
        return cls(
            {
                name: tuple(
                    Companion(
                        names[other],
                        float(lift[place, other]),
                        float(lower[place, other]),
                        tuple(held[:, place, other].tolist()),
                    )
                    for other in np.argsort(-lower[place], kind="stable")[:COMPANIONS]
                    if clear[place, other]
                )
                for place, name in enumerate(names)
                if clear[place].any()
            }
        )

    def to_dict(self) -> dict[str, list[dict[str, Any]]]:
        """Plain values for an artefact."""
        return {name: [asdict(one) for one in some] for name, some in self.companions.items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, list[dict[str, Any]]]) -> Affinity:
        """Read what `to_dict` wrote.

        >>> one = Affinity({"bread": (Companion("butter", 1.5, 1.4, (0.3, 0.5)),)})
        >>> Affinity.from_dict(one.to_dict()) == one
        True
        """
        return cls(
            {
                name: tuple(Companion(**{**one, "held": tuple(one["held"])}) for one in some)
                for name, some in values.items()
            }
        )


def _numbered(keys: pl.DataFrame) -> Int:
    """Number the different rows."""
    numbers: Int = keys.select(pl.struct(pl.all()).rank("dense").cast(pl.Int64) - 1)[
        keys.columns[0]
    ].to_numpy()
    return numbers


def _members(rows: Int, categories: Int, kinds: int) -> csr_matrix:
    """Mark what each row holds, shape (rows, kinds)."""
    shape = (int(rows.max()) + 1, kinds)
    return csr_matrix((np.ones(len(rows)), (rows, categories)), shape)


def _shares(ever: csr_matrix, popular: Int) -> Float:
    """Of the customers who ever bought in a category, the share who did in another.

    Returns
    -------
    float64 array of shape (strata, categories, categories)
        By how many categories they bought in; 1 where too few did to say.
    """
    breadth = np.asarray(ever.sum(axis=1)).ravel()
    shares = []
    for least, above in pairwise(STRATA):
        alike = ever[(breadth >= least) & (breadth < above)][:, popular]
        both: Float = (alike.T @ alike).toarray()
        own = np.diag(both)[:, None]
        shares.append(np.where(own >= FEWEST_CUSTOMERS, both / np.maximum(own, 1.0), 1.0))
    return np.stack(shares)


def _counted(held: csr_matrix) -> tuple[Float, Float, Int]:
    """Count the baskets with both of each pair, how many would by chance, and name them all.

    Of baskets with one category nothing can be learned. Within a stratum the expected counts add up
    to the seen ones: chance moves pairs among each other, and makes none.
    """
    kinds = held.shape[1]
    breadth = np.asarray(held.sum(axis=1)).ravel()
    both, expected = np.zeros((kinds, kinds)), np.zeros((kinds, kinds))
    for least, above in pairwise(STRATA):
        alike = held[(breadth >= least) & (breadth < above)]
        counted: Float = (alike.T @ alike).toarray()
        chance = np.outer(np.diag(counted), np.diag(counted))
        np.fill_diagonal(counted, 0.0)
        np.fill_diagonal(chance, 0.0)
        both += counted
        expected += chance * (counted.sum() / max(chance.sum(), 1.0))
    return both, expected, np.flatnonzero(breadth >= STRATA[0])


def _shrunk(both: Float, expected: Float) -> tuple[Float, Float]:
    """Shrink the lifts by how much they vary beyond chance, and give their lower 5% points too.

    The variance of the true lifts is estimated by moments: that of the counts is the expected count
    plus its square times that variance.
    """
    pairs = np.triu_indices(len(both), 1)
    seen, chance = both[pairs], expected[pairs]
    spread = ((seen - chance) ** 2 - chance).sum() / max((chance**2).sum(), 1e-12)
    if spread <= 0:
        return np.ones_like(both), np.zeros_like(both)
    shape = 1 / spread
    lift = (both + shape) / (expected + shape)
    return lift, gamma.ppf(0.05, both + shape) / (expected + shape)
