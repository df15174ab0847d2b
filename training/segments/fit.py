"""The fitted segments: RFM cuts and clusters of behaviour, and what sets each cluster apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features import catalogue
from features.errors import WorkspaceError
from training.prior import column
from training.segments.rfm import FEWEST, RfmCuts, measures
from training.segments.stability import Division, Stability, divisions, has_gaps, most_stable
from training.segments.traits import NAMES, Traits

Float = NDArray[np.float64]

FEWEST_TO_CLUSTER = 200
"""Buyers without whom clusters are chance."""
FORMAT = 1
NONE = -1


@dataclass(frozen=True)
class Clusters:
    """Clusters of behaviour, the best spending first.

    Attributes
    ----------
    centres : float64 array of shape (k, d)
        Means of the traits in standard deviations from that of all buyers.
    typical, usual : float64 arrays of shape (k, d) and (d,)
        Medians of the features of each cluster and of all buyers.
    jaccard : tuple of float
        How well each cluster comes back; see :mod:`training.segments.stability`.
    agreement
        How well they come back together (adjusted Rand index).
    gaps
        Whether they lie further apart than a continuum's would.
    """

    traits: Traits
    centres: Float
    typical: Float
    usual: Float
    jaccard: tuple[float, ...]
    agreement: float
    gaps: bool

    def assign(self, matrix: Float) -> NDArray[np.int16]:
        """Put buyers into the cluster of the nearest centre."""
        return _nearest(self.traits.scaled(matrix), self.centres)


@dataclass(frozen=True)
class Segments:
    """What was fitted on the buyers of one day.

    Attributes
    ----------
    rfm, clusters
        None where there were too few buyers, or where no number of clusters was stable.
    why
        Why there are no clusters.
    tried
        How stable each number of clusters was.
    """

    fitted_on: date
    buyers: int
    rfm: RfmCuts | None
    clusters: Clusters | None
    why: str
    tried: tuple[Stability, ...] = ()

    @classmethod
    def fit(cls, matrix: Float, as_of: date, seed: int) -> Segments:
        """Fit everything on the buyers of a day, features in the catalogue's order."""
        buyers = len(matrix)
        rfm = RfmCuts.fit(measures(matrix)) if buyers >= FEWEST else None
        if buyers < FEWEST_TO_CLUSTER:
            why = f"{buyers} have bought; clusters need {FEWEST_TO_CLUSTER}, or they are chance"
            return cls(as_of, buyers, rfm, None, why)
        traits = Traits.fit(matrix)
        if len(traits.names) < 2:
            why = "the buyers differ in fewer than two habits, so there is nothing to cluster by"
            return cls(as_of, buyers, rfm, None, why)
        points = traits.scaled(matrix)
        divided = divisions(points, seed)
        tried = tuple(one.stability for one in divided)
        stable = most_stable(divided)
        if stable is None:
            best = max(tried, key=lambda one: min(one.jaccard))
            why = (
                "no number of clusters comes back when customers are drawn anew (the best of 2 to "
                f"{tried[-1].clusters} are {best.clusters}, of which one comes back at "
                f"{min(best.jaccard):.2f}; 0.75 is needed): the habits shade into each other"
            )
            return cls(as_of, buyers, rfm, None, why, tried)
        clusters = _clusters(matrix, traits, points, stable, seed)
        return cls(as_of, buyers, rfm, clusters, "", tried)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        found = self.clusters
        return {
            "format": FORMAT,
            "fitted_on": self.fitted_on.isoformat(),
            "buyers": self.buyers,
            "rfm": self.rfm and self.rfm.to_dict(),
            "clusters": found
            and {
                "traits": found.traits.to_dict(),
                "centres": found.centres.tolist(),
                "typical": found.typical.tolist(),
                "usual": found.usual.tolist(),
                "jaccard": list(found.jaccard),
                "agreement": found.agreement,
                "gaps": found.gaps,
            },
            "why": self.why,
            "tried": [
                {
                    "clusters": one.clusters,
                    "agreement": one.agreement,
                    "jaccard": list(one.jaccard),
                    "smallest": one.smallest,
                }
                for one in self.tried
            ],
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Segments:
        """Read what :meth:`to_dict` wrote.

        Raises
        ------
        WorkspaceError
            It was fitted by another version, or on features that there are no more.
        """
        if values.get("format") != FORMAT or _strangers(values):
            raise WorkspaceError(
                "the segments of this workspace were fitted by another version; fit them again: "
                "lifecycle segments --refit"
            )
        found = values["clusters"]
        return cls(
            date.fromisoformat(values["fitted_on"]),
            int(values["buyers"]),
            RfmCuts.from_dict(values["rfm"]) if values["rfm"] else None,
            Clusters(
                Traits.from_dict(found["traits"]),
                np.array(found["centres"]),
                np.array(found["typical"]),
                np.array(found["usual"]),
                tuple(found["jaccard"]),
                found["agreement"],
                found["gaps"],
            )
            if found
            else None,
            values["why"],
            tuple(Stability(**one | {"jaccard": tuple(one["jaccard"])}) for one in values["tried"]),
        )


def _strangers(values: Mapping[str, Any]) -> set[str]:
    traits = values["clusters"]["traits"] if values.get("clusters") else ()
    return set(traits) - set(NAMES)


def _nearest(points: Float, centres: Float) -> NDArray[np.int16]:
    apart = [((points - centre) ** 2).sum(axis=1) for centre in centres]
    nearest: NDArray[np.int16] = np.argmin(apart, axis=0).astype(np.int16)
    return nearest


def _clusters(
    matrix: Float, traits: Traits, points: Float, division: Division, seed: int
) -> Clusters:
    stability, labels = division.stability, _nearest(points, division.centres)
    spend = column(matrix, "spend_net")
    groups = [labels == code for code in range(stability.clusters)]
    order = sorted(range(len(groups)), key=lambda code: -float(spend[groups[code]].mean()))
    told = matrix[:, [catalogue.NAMES.index(name) for name in traits.names]]
    return Clusters(
        traits,
        division.centres[order],
        np.stack([np.nanmedian(told[groups[code]], axis=0) for code in order]),
        np.nanmedian(told, axis=0),
        tuple(stability.jaccard[code] for code in order),
        stability.agreement,
        has_gaps(points, stability.clusters, seed),
    )
