"""The scorer bundle: everything that one answer needs, in one folder of plain text files.

Both boosters (LightGBM's own text), the prior, calibrators, interval tables, thresholds, reference
values and the feature service's name stand together, so that one registry alias moves them all at
once. Nothing in it can run code; each file's SHA-256 is in the manifest and checked on loading.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
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
from training.adjustment import Adjustment
from training.affinity import Affinity
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
from training.leaves import Walk
from training.population import StageThresholds
from training.prior import Prior, column
from training.prospects import ENGAGEMENT, Conversion, groups_of
from training.recipe import Kind, Trees
from training.renewals import Renewals, attributed
from training.tiers import ValueTiers
from training.uplift.lifts import Lifts
from training.value import (
    CLV_DAYS,
    CLV_MONTHS,
    GROWTH_DAYS,
    YEAR_DAYS,
    ValueTerms,
    growth_of_horizons,
    lifetime_value,
)

Float = NDArray[np.float64]

FORMAT = 7
MANIFEST = "manifest.json"
CHURN_FILE = "churn.txt"
SPEND_FILE = "spend.txt"
RENEWALS_FILE = "renewals.txt"

NUMBERS = (
    "churn_probability", "expected_spend",
    "spend_lower", "spend_upper",
    "spend_lower_80", "spend_upper_80",
    "spend_lower_50", "spend_upper_50",
    *(
        f"clv_{months}m{side}"
        for months in CLV_MONTHS for side in ("", "_lower", "_upper")
    ),
    "service_saved_12m",
)  # fmt: skip
"""Names of the numbers that are told of each customer, wherever they are told."""


NOTHING_MEASURED = Lifts()


@dataclass(frozen=True)
class Predictions:
    """Answers of the models for some customers, arrays of shape (n,); money in currency.

    Attributes
    ----------
    churn_probability
        P(no purchase in the horizon); of customers under contract P(lost by its end, without a
        renewal within the grace); one minus the chance of converting for who never bought.
    expected_spend
        Mean net revenue in the horizon over all outcomes.
    lower, upper
        Predictive intervals of the net spend that will be seen, a column for each coverage of
        :data:`training.intervals.PROMISED`, shape (n, 3).
    spend_if_purchase, spend_if_none
        The two means of which ``expected_spend`` is the mixture; of customers under contract those
        of who stays and of who is lost.
    clv, clv_lower, clv_upper
        Value over each horizon of :data:`training.value.CLV_MONTHS` with its 90% interval, shape
        (n, 4). The interval rests on the prior's purchase process: no coverage is claimed.
    service_saved_12m
        What of the service cost is saved over twelve months, as customers are experienced; part of
        the value.
    prospect
        Known without a purchase: answered from the conversions of others like them.
    """

    churn_probability: Float
    expected_spend: Float
    lower: Float
    upper: Float
    spend_if_purchase: Float
    spend_if_none: Float
    clv: Float
    clv_lower: Float
    clv_upper: Float
    service_saved_12m: Float
    prospect: NDArray[np.bool_]

    @property
    def clv_12m(self) -> Float:
        """Value over twelve months."""
        return self.clv[:, CLV_MONTHS.index(12)]

    def numbers(self) -> dict[str, Float]:
        """Name every number that is told of a customer, as :data:`NUMBERS` does."""
        columns = [self.churn_probability, self.expected_spend]
        for place in reversed(range(len(PROMISED))):
            columns += [self.lower[:, place], self.upper[:, place]]
        for place in range(len(CLV_MONTHS)):
            columns += [self.clv[:, place], self.clv_lower[:, place], self.clv_upper[:, place]]
        columns.append(self.service_saved_12m)
        return dict(zip(NUMBERS, columns, strict=True))

    @property
    def spend_lower(self) -> Float:
        """Lower bound at 90%."""
        return self.lower[:, PROMISED.index(0.9)]

    @property
    def spend_upper(self) -> Float:
        """Upper bound at 90%."""
        return self.upper[:, PROMISED.index(0.9)]


@dataclass(frozen=True)
class Rows:
    """Rows of features as the models read them.

    Attributes
    ----------
    matrix
        As they were given, in the catalogue's order, shape (n, features).
    prospect
        Known without a purchase.
    safe
        The same with a neutral history for who has none.
    churn, spend
        What came of them in the trees.
    """

    matrix: Float
    prospect: NDArray[np.bool_]
    safe: Float
    churn: Walk
    spend: Walk


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
    affinity
        Which categories of products go together.
    lifts
        What was measured of actions; nothing without treatments and their control arms.
    renewals
        What becomes of customers under contract; None where there are none.
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
    terms: ValueTerms
    tiers: ValueTiers
    currency: str
    data_available: frozenset[str] = frozenset()
    affinity: Affinity = field(default_factory=Affinity)
    lifts: Lifts = NOTHING_MEASURED
    renewals: Renewals | None = None

    @cached_property
    def paths(self) -> PathAttribution:
        """Attribution tables of the churn trees, built once."""
        return PathAttribution.of(self.trees.churn)

    @property
    def extrapolated(self) -> tuple[int, ...]:
        """Months of the values that are longer than the history whose outcomes are known."""
        matured = (self.as_of - self.history_from).days - self.horizon_days
        return tuple(months for months in CLV_MONTHS if months / 12 * YEAR_DAYS > matured)

    def predict(self, matrix: Float, threads: int = 1) -> Predictions:
        """Predict for rows of features in the catalogue's order, NaN where unknown."""
        return self.predict_read(self.read(matrix, threads), threads)

    def read(self, matrix: Float, threads: int = 1, attributed: bool = False) -> Rows:
        """Read rows of features as the models do, once for all that is asked of them.

        Parameters
        ----------
        attributed
            Fast attributions will be asked for, too.
        """
        prospect = ~(column(matrix, "purchases") > 0)
        safe = _as_buyers(matrix, prospect)
        return Rows(matrix, prospect, safe, *self.trees.walk(safe, threads, attributed))

    def predict_read(self, rows: Rows, threads: int = 1) -> Predictions:
        """Predict for rows that were read."""
        matrix, prospect, safe = rows.matrix, rows.prospect, rows.safe
        if not len(matrix):
            return _nobody()
        trees = rows.churn.sums, rows.spend.sums
        churn, spend = self.adjustment.churn, self.adjustment.spend
        foretold = self.prior.foretell(safe, self.horizon_days, CLV_DAYS, GROWTH_DAYS)
        prior_churn, prior_spend = foretold.churn_probability, foretold.spend_if_purchase
        conversion = self._conversion(matrix)

        def chance(of_buyers: Float) -> Float:
            return np.where(prospect, 1 - conversion, of_buyers)

        def spent(by_buyers: Float) -> Float:
            return np.where(prospect, self.conversion.spend_if_purchase, by_buyers)

        none = np.where(prospect, 0.0, spend.spend_if_none)
        probability = chance(churn.probability(prior_churn, trees[0]))
        mean = spent(spend.spend_if_purchase(prior_spend, trees[1]))
        expected = (1 - probability) * mean + probability * none
        later = chance(churn.lasting_probability(prior_churn, trees[0]))
        lasting = (1 - later) * spent(spend.lasting_spend_if_purchase(prior_spend, trees[1]))
        margin, cost, saved = lifetime_value(
            self.terms,
            expected,
            lasting + later * none,
            foretold.growth,
            foretold.alive,
            column(safe, "tenure_days"),
        )
        cost = cost - saved
        # The prior's purchase process gives values their intervals.
        silent = np.clip(probability[:, None] * foretold.silence, 0.0, 1.0)
        bought = np.maximum(expected, 0.0)[:, None] * growth_of_horizons(foretold.growth)
        low, high = self.adjustment.intervals.bounds(
            np.append(probability, silent), np.append(mean, bought / np.maximum(1 - silent, 1e-9))
        )
        # What a unit of spend is worth, coming when it does.
        rate = np.where(bought > 0, margin / np.maximum(bought, 1e-9), 0.0)

        def valued(side: Float) -> Float:
            worth: Float = rate * side[len(matrix) :, PROMISED.index(0.9)].reshape(rate.shape)
            return worth - cost

        if self.renewals is not None:
            probability, mean, none = self._under_contract(
                rows, threads, probability, expected, mean, none
            )
        return Predictions(
            churn_probability=probability,
            expected_spend=expected,
            lower=low[: len(matrix)],
            upper=high[: len(matrix)],
            spend_if_purchase=mean,
            spend_if_none=none,
            clv=margin - cost,
            clv_lower=valued(low),
            clv_upper=valued(high),
            service_saved_12m=saved[:, CLV_MONTHS.index(12)],
            prospect=prospect,
        )

    def _under_contract(
        self,
        rows: Rows,
        threads: int,
        probability: Float,
        expected: Float,
        mean: Float,
        none: Float,
    ) -> tuple[Float, Float, Float]:
        """Answer for customers under contract by renewals; what is expected of them stays."""
        if self.renewals is None:
            return probability, mean, none
        held = np.flatnonzero(self.renewals.holds(rows.matrix) & ~rows.prospect)
        if not len(held):
            return probability, mean, none
        probability, mean, none = probability.copy(), mean.copy(), none.copy()
        lost = self.renewals.lost_probability(rows.matrix[held], threads)
        probability[held] = lost
        mean[held], none[held] = self.renewals.spends(expected[held], lost)
        return probability, mean, none

    def attribution(self, matrix: Float, method: Method = "fast", threads: int = 1) -> Attribution:
        """Split the calibrated churn log-odds over the features; nothing for prospects.

        Base and contributions add up to the log-odds of ``churn_probability``, except where that
        is cut at :data:`training.calibration.BOUNDS`.
        """
        return self.attribute_read(self.read(matrix, threads, method == "fast"), method, threads)

    def attribute_read(self, rows: Rows, method: Method, threads: int = 1) -> Attribution:
        """Split it for rows that were read."""
        safe, leaves = rows.safe, rows.churn.leaves
        churn = self.adjustment.churn
        if leaves is None and method == "fast":
            leaves = self.trees.walk(safe, threads, attributed=True)[0].leaves
        trees = (
            tree_shap(self.trees.churn, safe, threads)
            if leaves is None or method == "exact"
            else self.paths.attribute(leaves)
        )
        prior = attribute_prior(self.prior, self.middle, safe, self.horizon_days)
        raw = prior.base + churn.tree_weight * trees.base - churn.centre
        total: Float = churn.slope * (prior.contributions + churn.tree_weight * trees.contributions)
        found = Attribution(
            np.where(rows.prospect[:, None], 0.0, total),
            churn.centre + churn.level + churn.slope * raw,
        )
        if self.renewals is None:
            return found
        return attributed(self.renewals, found, rows.matrix, rows.prospect, method, threads)

    def _conversion(self, matrix: Float) -> Float:
        return self.conversion.chance(groups_of(*(column(matrix, name) for name in ENGAGEMENT)))

    def save(self, folder: Path) -> str:
        """Write the bundle's files into an existing folder; give the manifest's SHA-256."""
        renewals = self.renewals
        for name, booster in (
            (CHURN_FILE, self.trees.churn),
            (SPEND_FILE, self.trees.spend),
            (RENEWALS_FILE, None if renewals is None else renewals.booster),
        ):
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
            "value_terms": asdict(self.terms),
            "value_tiers": self.tiers.to_dict(),
            "currency": self.currency,
            "data_available": sorted(self.data_available),
            "affinity": self.affinity.to_dict(),
            "lifts": self.lifts.to_dict(),
            "renewals": None if renewals is None else renewals.to_dict(),
            "sha256": {
                name: _sha256(folder / name)
                for name in (CHURN_FILE, SPEND_FILE, RENEWALS_FILE)
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
            terms=ValueTerms(**values["value_terms"]),
            tiers=ValueTiers.from_dict(values["value_tiers"]),
            currency=values["currency"],
            data_available=frozenset(values["data_available"]),
            affinity=Affinity.from_dict(values["affinity"]),
            lifts=Lifts.from_dict(values["lifts"]),
            renewals=values["renewals"]
            and Renewals.from_dict(values["renewals"], boosters.get(RENEWALS_FILE)),
        )


def _nobody() -> Predictions:
    nothing: Float = np.zeros(0)
    spend: Float = np.zeros((0, len(PROMISED)))
    value: Float = np.zeros((0, len(CLV_MONTHS)))
    return Predictions(
        nothing, nothing, spend, spend, nothing, nothing, value, value, value, nothing,
        prospect=np.zeros(0, dtype=bool),
    )  # fmt: skip


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
