"""The scorer bundle: everything that one answer needs, in one folder of plain text files.

Both boosters (LightGBM's own text), the prior, calibrators, interval tables, thresholds, reference
values and the feature service's name stand together, so that one registry alias moves them all at
once. Nothing in it can run code; each file's SHA-256 is in the manifest and checked on loading.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray

from features import catalogue
from features.errors import WorkspaceError
from features.matrix import Vocabulary
from training.attribution import (
    Attribution,
    Method,
    Middle,
    PathAttribution,
    attribute_prior,
    tree_shap,
)
from training.calibration import ChurnCalibration, SpendCalibration
from training.intervals import PROMISED, IntervalTable
from training.population import StageThresholds
from training.prior import Prior, column, summary
from training.prospects import ENGAGEMENT, Conversion, groups_of
from training.recipe import Adjustment, Kind, Trees

Float = NDArray[np.float64]

FORMAT = 3
MANIFEST = "manifest.json"
CHURN_FILE = "churn.txt"
SPEND_FILE = "spend.txt"
YEAR_DAYS = 365.0
QUARTERS = np.array([0.25, 0.5, 0.75, 1.0]) * YEAR_DAYS


@dataclass(frozen=True)
class Predictions:
    """Answers of the models for some customers, arrays of shape (n,); money in currency.

    Attributes
    ----------
    churn_probability
        P(no purchase in the horizon); one minus the chance of converting for who never bought.
    expected_spend
        Mean net revenue in the horizon over all outcomes.
    lower, upper
        Predictive intervals of the net spend that will be seen, a column for each coverage of
        :data:`training.intervals.PROMISED`, shape (n, 3).
    spend_if_purchase, spend_if_none
        The two means of which ``expected_spend`` is the mixture.
    clv_12m
        Net present value of the expected margin of twelve months.
    prospect
        Known without a purchase: answered from the conversions of others like them.
    """

    churn_probability: Float
    expected_spend: Float
    lower: Float
    upper: Float
    spend_if_purchase: Float
    spend_if_none: Float
    clv_12m: Float
    prospect: NDArray[np.bool_]

    @property
    def spend_lower(self) -> Float:
        """Lower bound at 90%."""
        return self.lower[:, PROMISED.index(0.9)]

    @property
    def spend_upper(self) -> Float:
        """Upper bound at 90%."""
        return self.upper[:, PROMISED.index(0.9)]


@dataclass(frozen=True)
class ScorerBundle:
    """The models and every number fitted with them.

    Attributes
    ----------
    kind
        ``lightgbm``, or ``btyd`` where the trees did not beat BG/NBD and Gamma-Gamma.
    as_of
        The day of the training; its labels end there.
    history_from
        First day of the orders behind it.
    vocabulary
        The codes of categories that the trees learned; rows to predict are coded by it.
    """

    kind: Kind
    as_of: date
    history_from: date
    horizon_days: int
    feature_service: str
    vocabulary: Vocabulary
    prior: Prior
    trees: Trees
    adjustment: Adjustment
    thresholds: StageThresholds
    middle: Middle
    conversion: Conversion
    margin: float
    discount_rate_yearly: float
    currency: str
    data_available: frozenset[str] = frozenset()

    @cached_property
    def paths(self) -> PathAttribution:
        """Attribution tables of the churn trees, built once."""
        return PathAttribution.of(self.trees.churn)

    @property
    def extrapolated(self) -> bool:
        """Whether twelve months are longer than the history behind the models."""
        return (self.as_of - self.history_from).days < YEAR_DAYS + self.horizon_days

    def predict(self, matrix: Float, threads: int = 1) -> Predictions:
        """Predict for rows of features in the catalogue's order, NaN where unknown."""
        if not len(matrix):
            nobody: Float = np.zeros(0)
            nowhere: Float = np.zeros((0, len(PROMISED)))
            return Predictions(
                nobody, nobody, nowhere, nowhere, nobody, nobody, nobody, np.zeros(0, dtype=bool)
            )
        prospect = ~(column(matrix, "purchases") > 0)
        safe = _as_buyers(matrix, prospect)
        corrections = self.trees.corrections(safe, threads)
        churn, spend = self.adjustment.churn, self.adjustment.spend
        probability = churn.probability(
            self.prior.churn_probability(safe, self.horizon_days), corrections[0]
        )
        mean = spend.spend_if_purchase(
            self.prior.spend_if_purchase(safe, self.horizon_days), corrections[1]
        )
        probability = np.where(prospect, 1 - self._conversion(matrix), probability)
        mean = np.where(prospect, self.conversion.spend_if_purchase, mean)
        none = np.where(prospect, 0.0, spend.spend_if_none)
        expected = (1 - probability) * mean + probability * none
        lower, upper = self.adjustment.intervals.bounds(probability, mean)
        clv = self.margin * expected * self._year_factor(safe)
        return Predictions(probability, expected, lower, upper, mean, none, clv, prospect)

    def attribution(self, matrix: Float, method: Method = "fast", threads: int = 1) -> Attribution:
        """Split the calibrated churn log-odds over the features; nothing for prospects.

        Base and contributions add up to the log-odds of ``churn_probability``, except where that
        is cut at :data:`training.calibration.BOUNDS`.
        """
        prospect = ~(column(matrix, "purchases") > 0)
        safe = _as_buyers(matrix, prospect)
        churn = self.adjustment.churn
        trees = (
            tree_shap(self.trees.churn, safe, threads)
            if method == "exact"
            else self.paths.attribute(self.trees.churn, safe, threads)
        )
        prior = attribute_prior(self.prior, self.middle, safe, self.horizon_days)
        raw = prior.base + churn.tree_weight * trees.base - churn.centre
        total: Float = churn.slope * (prior.contributions + churn.tree_weight * trees.contributions)
        return Attribution(
            np.where(prospect[:, None], 0.0, total),
            churn.centre + churn.shift + churn.slope * raw,
        )

    def _conversion(self, matrix: Float) -> Float:
        return self.conversion.chance(groups_of(*(column(matrix, name) for name in ENGAGEMENT)))

    def _year_factor(self, matrix: Float) -> Float:
        """Discounted purchases of a year over those of the horizon, at least the horizon's own."""
        frequency, _, age = summary(matrix)
        grown = np.stack(
            [
                self.prior.purchases.horizon_growth(frequency, age, days, self.horizon_days)
                for days in QUARTERS
            ]
        )
        gained = np.diff(grown, axis=0, prepend=0.0)
        middle_of_quarter = (QUARTERS - QUARTERS[0] / 2) / YEAR_DAYS
        discount = (1 + self.discount_rate_yearly) ** -middle_of_quarter
        # Not a matrix product: BLAS rounds a row by the number of rows beside it.
        factor: Float = (discount[:, None] * gained).sum(axis=0)
        return factor

    def save(self, folder: Path) -> str:
        """Write the bundle's files into an existing folder; give the manifest's SHA-256."""
        for name, booster in ((CHURN_FILE, self.trees.churn), (SPEND_FILE, self.trees.spend)):
            if booster is not None:
                (folder / name).write_text(booster.model_to_string(), encoding="utf-8")
        manifest = {
            "format": FORMAT,
            "kind": self.kind,
            "as_of": self.as_of.isoformat(),
            "history_from": self.history_from.isoformat(),
            "horizon_days": self.horizon_days,
            "feature_service": self.feature_service,
            "feature_names": list(catalogue.NAMES),
            "catalogue_version": catalogue.VERSION,
            "vocabulary": {n: list(labels) for n, labels in self.vocabulary.labels.items()},
            "prior": self.prior.to_dict(),
            "churn_calibration": asdict(self.adjustment.churn),
            "spend_calibration": asdict(self.adjustment.spend),
            "intervals": self.adjustment.intervals.to_dict(),
            "thresholds": self.thresholds.to_dict(),
            "middle": asdict(self.middle),
            "conversion": self.conversion.to_dict(),
            "margin": self.margin,
            "discount_rate_yearly": self.discount_rate_yearly,
            "currency": self.currency,
            "data_available": sorted(self.data_available),
            "sha256": {
                name: _sha256(folder / name)
                for name in (CHURN_FILE, SPEND_FILE)
                if (folder / name).exists()
            },
        }
        text = json.dumps(manifest, indent=1, sort_keys=True)
        (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")
        return _sha256(folder / MANIFEST)

    @classmethod
    def load(cls, folder: Path, manifest_sha256: str | None = None) -> ScorerBundle:
        """Read a bundle back.

        Parameters
        ----------
        manifest_sha256
            What the manifest must hash to, where the registry knows it; the manifest in turn holds
            the hashes of the boosters.

        Raises
        ------
        WorkspaceError
            A file is missing or altered, or the bundle was made for another feature list.
        """
        try:
            values: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            raise WorkspaceError(
                f"the model in {folder.name} has no readable {MANIFEST}; train and promote again"
            ) from None
        if manifest_sha256 is not None and _sha256(folder / MANIFEST) != manifest_sha256:
            raise WorkspaceError(
                f"the model's {MANIFEST} is not the one that was registered (its SHA-256 differs); "
                "train and promote again"
            )
        if values.get("format") != FORMAT:
            raise WorkspaceError(
                f"the registered model was stored in another layout ({values.get('format')}, this "
                f"is {FORMAT}); run `lifecycle train` and `lifecycle promote`"
            )
        if values["feature_names"] != list(catalogue.NAMES):
            raise WorkspaceError(
                "the registered model was made for another version of the feature list "
                f"({values.get('catalogue_version')}, this is {catalogue.VERSION}); "
                "run `lifecycle train` and `lifecycle promote`"
            )
        boosters = {name: _booster(folder / name, digest) for name, digest in
                    values["sha256"].items()}  # fmt: skip
        return cls(
            kind=values["kind"],
            as_of=date.fromisoformat(values["as_of"]),
            history_from=date.fromisoformat(values["history_from"]),
            horizon_days=values["horizon_days"],
            feature_service=values["feature_service"],
            vocabulary=Vocabulary({n: tuple(v) for n, v in values["vocabulary"].items()}),
            prior=Prior.from_dict(values["prior"]),
            trees=Trees(boosters.get(CHURN_FILE), boosters.get(SPEND_FILE)),
            adjustment=Adjustment(
                ChurnCalibration(**values["churn_calibration"]),
                SpendCalibration(**values["spend_calibration"]),
                IntervalTable.from_dict(values["intervals"]),
            ),
            thresholds=StageThresholds.from_dict(values["thresholds"]),
            middle=Middle(**values["middle"]),
            conversion=Conversion.from_dict(values["conversion"]),
            margin=values["margin"],
            discount_rate_yearly=values["discount_rate_yearly"],
            currency=values["currency"],
            data_available=frozenset(values["data_available"]),
        )


def _as_buyers(matrix: Float, prospect: NDArray[np.bool_]) -> Float:
    """Give rows without a purchase a neutral history, so that one formula serves all rows."""
    if not prospect.any():
        return matrix
    safe = matrix.copy()
    for name, value in (
        ("purchase_days", 1.0),
        ("tenure_days", 0.0),
        ("recency_days", 0.0),
        ("order_value_first", 0.0),
    ):
        safe[prospect, catalogue.NAMES.index(name)] = value
    return safe


def _booster(path: Path, digest: str) -> lgb.Booster:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise WorkspaceError(
            f"the model lacks its file {path.name}; train and promote again"
        ) from None
    if hashlib.sha256(text.encode()).hexdigest() != digest:
        raise WorkspaceError(
            f"the model's file {path.name} is not the one that was registered (its SHA-256 "
            "differs); train and promote again"
        )
    return lgb.Booster(model_str=text)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
