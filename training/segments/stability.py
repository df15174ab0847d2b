"""Into how many clusters customers fall, if any number of them comes back when others are drawn.

Customers are drawn anew, with replacement, clustered again, and all are put into the new clusters.
A number of clusters is stable if the two divisions agree (adjusted Rand index; Ben-Hur, Elisseeff &
Guyon 2002, "A stability based method for discovering structure in clustered data", PSB 7) and each
single cluster comes back (mean Jaccard similarity to the most similar new one; Hennig 2007,
"Cluster-wise assessment of cluster stability", CSDA 52: from 0.75 on it is a stable pattern). That
stable number is taken whose divisions agree most; of about equals the largest, which tells more
apart. A division can be stable and yet cut a continuum: whether there are gaps is asked by
comparing its silhouette with those of clouds without any (Liu et al. 2008, "Statistical
significance of clustering", JASA 103).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score, silhouette_score

Float = NDArray[np.float64]
Labels = NDArray[np.int64]

MOST = 8
DRAWS = 20
ALIKE = 0.75
"""From here on two divisions agree, and a cluster has come back."""
EQUAL = 0.05
"""Agreements that differ by less are about equal."""
SMALLEST = 0.02
"""A cluster that holds a smaller share is an oddity."""
SAMPLE = 3_000
"""Customers who are looked at."""
CLOUDS = 9
_SILHOUETTE = 1_500


@dataclass(frozen=True)
class Stability:
    """How well a number of clusters comes back.

    Attributes
    ----------
    agreement
        Mean adjusted Rand index over the draws.
    jaccard
        Of each cluster, the mean similarity to the most similar new one.
    smallest
        Share of the smallest cluster.
    """

    clusters: int
    agreement: float
    jaccard: tuple[float, ...]
    smallest: float

    @property
    def stable(self) -> bool:
        """Whether it comes back as a whole and in each part."""
        return self.agreement >= ALIKE and min(self.jaccard) >= ALIKE and self.smallest >= SMALLEST


@dataclass(frozen=True)
class Division:
    """A division into clusters, by its centres of shape (k, d), and how stable it is."""

    centres: Float
    stability: Stability


def k_means(points: Float, clusters: int, seed: int) -> KMeans:
    """Fit one division."""
    return KMeans(clusters, n_init=3, random_state=seed).fit(points)


def divisions(points: Float, seed: int) -> list[Division]:
    """Divide into each number of clusters from 2 to :data:`MOST`, and ask how stable that is.

    >>> rng = np.random.default_rng(0)
    >>> three = np.concatenate([rng.normal(at, 0.3, (80, 2)) for at in ((0, 0), (4, 0), (0, 4))])
    >>> most_stable(divisions(three, 1)).stability.clusters
    3
    """
    rng = np.random.default_rng(seed)
    looked_at = _sample(points, SAMPLE, rng)
    draws = [rng.integers(0, len(looked_at), len(looked_at)) for _ in range(DRAWS)]
    found = []
    for clusters in range(2, MOST + 1):
        fitted = k_means(looked_at, clusters, seed)
        first: Labels = fitted.labels_
        agreements, returned = [], []
        for draw in draws:
            again: Labels = k_means(looked_at[draw], clusters, seed).predict(looked_at)
            agreements.append(adjusted_rand_score(first, again))
            returned.append(_returned(first, again, clusters))
        sizes = np.bincount(first, minlength=clusters) / len(first)
        jaccard = tuple(np.mean(returned, axis=0).tolist())
        stability = Stability(clusters, float(np.mean(agreements)), jaccard, float(sizes.min()))
        found.append(Division(fitted.cluster_centers_, stability))
    return found


def most_stable(found: list[Division]) -> Division | None:
    """Choose the division that comes back best; None where none does."""
    stable = [one for one in found if one.stability.stable]
    best = max((one.stability.agreement for one in stable), default=0.0)
    near = [one for one in stable if one.stability.agreement > best - EQUAL]
    return max(near, key=lambda one: one.stability.clusters, default=None)


def _returned(first: Labels, again: Labels, clusters: int) -> Float:
    """Give for each cluster its Jaccard similarity to the most similar new one."""
    both = np.zeros((clusters, clusters))
    np.add.at(both, (first, again), 1.0)
    union = both.sum(axis=1)[:, None] + both.sum(axis=0)[None, :] - both
    best: Float = (both / union).max(axis=1)
    return best


def has_gaps(points: Float, clusters: int, seed: int) -> bool:
    """Whether clusters lie further apart than those of clouds of the same mean and covariance."""
    rng = np.random.default_rng(seed)
    looked_at = _sample(points, _SILHOUETTE, rng)

    def apart(cloud: Float) -> float:
        return float(silhouette_score(cloud, k_means(cloud, clusters, seed).labels_))

    middle, spread = looked_at.mean(axis=0), np.cov(looked_at, rowvar=False)
    shape = np.atleast_2d(spread)
    clouds = (rng.multivariate_normal(middle, shape, len(looked_at)) for _ in range(CLOUDS))
    return apart(looked_at) > max(apart(cloud) for cloud in clouds)


def _sample(points: Float, most: int, rng: np.random.Generator) -> Float:
    if len(points) <= most:
        return points
    return points[np.sort(rng.choice(len(points), most, replace=False))]
