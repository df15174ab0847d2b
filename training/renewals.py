"""Customers under contract: the chance that they are lost by the end of the horizon.

Orders say little of them: a yearly term is paid once and then there is silence, which is no loss. A
contract customer is lost when no term is left that is neither cancelled nor over for longer than
the grace. Whoever is under contract on a day is labelled by the same question asked again at the
end of the horizon; a term that outlasts the horizon is kept for sure unless it is cancelled.

As elsewhere trees correct a prior: of the terms that came to their end a share was renewed, and all
that come to their end within the horizon must be, one after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import date, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import logit

from features import catalogue
from features.days import day_number
from training.adjustment import Predicted
from training.attribution import Attribution, Method, PathAttribution, tree_shap
from training.calendar import Calendar
from training.calibration import ChurnCalibration
from training.dataset import LabelledDay, tree_matrix
from training.leaves import Leaves
from training.levels import forecast
from training.metrics import churn_metrics
from training.prior import column
from training.trees import DEFAULTS, Machine, Rows, correction, fit

Float = NDArray[np.float64]
Bool = NDArray[np.bool_]

FEWEST_OUTCOMES = 30
"""Of customers who were lost, and of those who stayed: with fewer there are no trees."""
ROLLING_DAYS = 8
"""Newest days predicted from earlier labels alone, for the calibration."""
PARAMETERS = {**DEFAULTS["churn"], "min_child_samples": 100, "rounds": 200}
"""Of the trees; they are not tuned."""
BOUNDS = (0.005, 0.95)
"""Of the prior: a term that outlasts the horizon may be cancelled, a cancelled one taken up."""
_SECURED = catalogue.NAMES.index("contract_days_secured")
_ACTIVE = catalogue.NAMES.index("contracts_active")


def under_contract(matrix: Float, grace_days: float) -> Bool:
    """Mark who has a term that runs, be it cancelled, or ran out no longer ago than the grace.

    Parameters
    ----------
    matrix
        Features in the catalogue's order, shape (n, features).
    """
    known = column(matrix, "contracts") >= 1
    found: Bool = known & ~(column(matrix, "days_since_contract_end") > grace_days)
    return found


def holders(contracts: Path, day: date, grace_days: int, known_by: date) -> pl.Series:
    """List the customers who are not lost at the end of a day.

    They have a term that began by then, is not cancelled, and is without an end or ended no longer
    ago than the grace. The newest term, once renewed, is held for as long again, for those whose
    next term is not written down.

    Parameters
    ----------
    contracts
        The ledger's Parquet file.
    known_by
        What arrived later is not seen.
    """
    until = day_number(day)
    terms = _known(contracts, day, known_by)
    renewed = (pl.col("renewed_day") <= until) & (
        pl.col("event_day") == pl.col("event_day").max().over("customer_id")
    )
    length = pl.col("ends_day") - pl.col("event_day")
    end = pl.col("ends_day") + pl.when(renewed).then(length).otherwise(0)
    cancelled = (pl.col("cancelled_day") <= until).fill_null(value=False)
    held = ~cancelled & (end + grace_days >= until).fill_null(value=True)
    return terms.filter(held).select(pl.col("customer_id").unique()).collect().to_series()


def lost_of(
    contracts: Path, day: date, horizon_days: int, grace_days: int, known_by: date
) -> pl.DataFrame:
    """Tell of everybody under contract on a day whether they were lost by the end of the horizon.

    Returns
    -------
    polars.DataFrame
        ``customer_id`` and ``lost``; whoever is not in it is judged by orders.
    """
    today = day_number(day)
    # As :func:`under_contract` of that day's features has it.
    ends = pl.coalesce(
        "ends_day", pl.when(pl.col("cancelled_day") <= today).then(pl.col("cancelled_day"))
    )
    under = _known(contracts, day, day).filter((ends + grace_days >= today).fill_null(value=True))
    ids = under.select(pl.col("customer_id").unique()).sort("customer_id").collect()
    stay = holders(contracts, day + timedelta(days=horizon_days), grace_days, known_by)
    return ids.with_columns(lost=~pl.col("customer_id").is_in(stay.to_list()))


def _known(contracts: Path, day: date, known_by: date) -> pl.LazyFrame:
    """Read the terms that began by a day, each as it was known last by another."""
    key = ["customer_id", "contract_id", "starts_at"]
    return (
        pl.scan_parquet(contracts)
        .filter(pl.col("event_day") <= day_number(day), pl.col("known_day") <= day_number(known_by))
        .filter(pl.col("arrived_at") == pl.col("arrived_at").max().over(key))
    )


@dataclass(frozen=True)
class Renewals:
    """What becomes of customers under contract within the horizon.

    Attributes
    ----------
    grace_days
        After a term's end, in which a renewal still counts as one.
    rate
        Of the terms that came to their end, the share that another one followed.
    calibration
        Fitted on days that the trees behind it had not seen.
    spend_if_lost
        Mean net spend in the horizon of those who are lost, over that of those who stay.
    """

    grace_days: int
    horizon_days: int
    rate: float
    booster: lgb.Booster | None = None
    calibration: ChurnCalibration = field(default_factory=ChurnCalibration)
    spend_if_lost: float = 0.0

    def holds(self, matrix: Float) -> Bool:
        """Mark whom this is about, shape (n,)."""
        return under_contract(matrix, self.grace_days)

    def prior(self, matrix: Float) -> Float:
        """P(lost by the end of the horizon) by the terms alone, of customers under contract.

        >>> facts = {"contracts": 3, "contracts_active": 1, "contract_term_days": 30}
        >>> rows = [facts | {"contract_days_secured": days} for days in (10, 70, 200)]
        >>> rows += [facts | {"contracts_active": 0}]
        >>> matrix = np.array(
        ...     [[row.get(name, np.nan) for name in catalogue.NAMES] for row in rows])
        >>> Renewals(30, 60, 0.9).prior(matrix).round(3).tolist()
        [0.19, 0.005, 0.005, 0.95]
        """
        secured = column(matrix, "contract_days_secured")
        length = np.maximum(np.nan_to_num(column(matrix, "contract_term_days"), nan=1e9), 1.0)
        due = np.where(
            secured < self.horizon_days, 1 + np.floor((self.horizon_days - 1 - secured) / length), 0
        )
        # Without an end there is no day on which it is decided: once in the horizon.
        due = np.where(np.isnan(secured), 1, due)
        lost = np.where(column(matrix, "contracts_active") >= 1, 1 - self.rate**due, 1.0)
        return np.clip(lost, *BOUNDS)

    def lost_probability(self, matrix: Float, threads: int = 1) -> Float:
        """P(lost by the end of the horizon) of customers under contract, shape (n,)."""
        trees = correction(self.booster, matrix, threads)
        return self.calibration.probability(self.prior(matrix), trees)

    def spends(self, expected: Float, lost: Float) -> tuple[Float, Float]:
        """Part an expected spend into that of those who stay and of those who are lost.

        >>> renewals = Renewals(30, 91, 0.9, spend_if_lost=0.25)
        >>> stay, lost = renewals.spends(np.array([77.5]), np.array([0.3]))
        >>> stay, lost, 0.7 * stay + 0.3 * lost
        (array([100.]), array([25.]), array([77.5]))
        """
        stays = expected / (1 - lost + lost * self.spend_if_lost)
        return stays, stays * self.spend_if_lost

    def attribute(self, matrix: Float, method: Method, threads: int = 1) -> Attribution:
        """Split the calibrated log-odds over the features, of customers under contract."""
        if self.booster is None or method == "exact":
            trees = tree_shap(self.booster, matrix, threads)
        else:
            trees = self._paths.attribute(self._leaves.found(tree_matrix(matrix), threads))
        usual = float(logit(np.clip(1 - self.rate, *BOUNDS)))
        terms = logit(self.prior(matrix)) - usual
        ours, line = np.zeros((len(matrix), len(catalogue.NAMES))), self.calibration
        active = column(matrix, "contracts_active") >= 1
        ours[:, _SECURED] = np.where(active, terms, 0.0)
        ours[:, _ACTIVE] = np.where(active, 0.0, terms)
        total: Float = line.slope * (ours + line.tree_weight * trees.contributions)
        raw = usual + line.tree_weight * trees.base - line.centre
        return Attribution(total, line.centre + line.level + line.slope * raw)

    @cached_property
    def _paths(self) -> PathAttribution:
        return PathAttribution.of(self.booster)

    @cached_property
    def _leaves(self) -> Leaves:
        if self.booster is None:
            raise ValueError("there are no trees; ask for their prior")
        return Leaves.of(self.booster)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, but for the trees."""
        values = {name: getattr(self, name) for name in _PLAIN}
        return {**values, "calibration": asdict(self.calibration)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], booster: lgb.Booster | None) -> Renewals:
        """Undo :meth:`to_dict`."""
        calibration = ChurnCalibration(**values["calibration"])
        return cls(**{n: values[n] for n in _PLAIN}, booster=booster, calibration=calibration)


_PLAIN = ("grace_days", "horizon_days", "rate", "spend_if_lost")


def attributed(
    renewals: Renewals,
    found: Attribution,
    matrix: Float,
    prospect: Bool,
    method: Method,
    threads: int,
) -> Attribution:
    """Put the attributions of customers under contract in their places."""
    held = np.flatnonzero(renewals.holds(matrix) & ~prospect)
    if not len(held):
        return found
    theirs = renewals.attribute(matrix[held], method, threads)
    bases = np.full(len(matrix), found.base)
    bases[held] = theirs.base
    found.contributions[held] = theirs.contributions
    return Attribution(found.contributions, bases)


def renewal_rate(matrix: Float) -> float:
    """Of the terms that came to their end, the share that another one followed.

    Parameters
    ----------
    matrix
        Features of all customers of a day.
    """
    terms = column(matrix, "contracts")
    followed = float(np.nansum(np.maximum(terms - 1, 0.0)))
    last = float(((terms >= 1) & (column(matrix, "contracts_active") < 1)).sum())
    return (followed + 4.0) / (followed + last + 5.0)


def labelled(
    days: Sequence[LabelledDay],
    contracts: Path,
    grace_days: int,
    horizon_days: int,
    known_by: date,
) -> list[LabelledDay]:
    """Take the customers under contract of each day, labelled by whether they were lost.

    Returns
    -------
    list of LabelledDay
        In which ``purchased`` says who stayed, and ``prior_churn`` is that of the terms; without
        the days on which nobody was under contract.
    """
    made = []
    for day in days:
        rows = np.flatnonzero(under_contract(day.matrix, grace_days))
        if not len(rows):
            continue
        ends = day.as_of + timedelta(days=horizon_days)
        stay = holders(contracts, ends, grace_days, known_by)
        prior = Renewals(grace_days, horizon_days, renewal_rate(day.matrix))
        own = day.take(rows.astype(np.int64))
        ids = pl.Series(own.customer_ids.tolist(), dtype=stay.dtype)
        made.append(
            replace(
                own,
                prior_churn=prior.prior(own.matrix),
                purchased=ids.is_in(stay.to_list()).to_numpy(),
            )
        )
    return made


@dataclass(frozen=True)
class Learned:
    """A renewal model, and how its like did on days that it had not seen.

    Attributes
    ----------
    quality
        ``customers`` and ``days`` that were judged, ``lost_said`` and ``lost_seen`` (mean chance
        and share), and the metrics of :func:`training.metrics.churn_metrics`; ``log_loss_terms`` is
        what the renewal rate alone has. Empty with too little history to judge.
    """

    renewals: Renewals
    quality: dict[str, float]


def learn_renewals(
    days: Sequence[LabelledDay],
    today: Float,
    calendar: Calendar,
    grace_days: int,
    machine: Machine,
    say: Callable[[str, int, int], None],
) -> Learned | None:
    """Learn what becomes of customers under contract; None where nobody is.

    Parameters
    ----------
    days
        From :func:`labelled`.
    today
        Features of all customers on the day of the training.
    """
    bare = Renewals(grace_days, calendar.horizon_days, renewal_rate(today))
    if not under_contract(today, grace_days).any():
        return None
    if not days or not _enough(days):
        return Learned(replace(bare, spend_if_lost=_spend_if_lost(days)), {})
    foldable = [day for day in days if _enough(_before(days, calendar, day.as_of))]
    pool = []
    for done, day in enumerate(foldable[-ROLLING_DAYS:], 1):
        trees = _fit(_before(days, calendar, day.as_of), machine)
        nothing = np.zeros(len(day.matrix))
        pool.append(Predicted(day, correction(trees, day.matrix, machine.threads), nothing))
        say("renewals", done, len(foldable[-ROLLING_DAYS:]) + 1)
    matured = [day for day in days if day.as_of in calendar.matured]
    final = replace(
        bare,
        booster=_fit(matured, machine) if pool else None,
        calibration=_calibrated(
            pool or [Predicted.bare(d) for d in days], days, calendar, calendar.as_of
        ),
        spend_if_lost=_spend_if_lost(days),
    )
    return Learned(final, _judged(pool, days, calendar))


def _fit(days: Sequence[LabelledDay], machine: Machine) -> lgb.Booster:
    return fit("churn", Rows("churn", days), PARAMETERS, machine)


def _before(days: Sequence[LabelledDay], calendar: Calendar, as_of: date) -> list[LabelledDay]:
    known = calendar.before(as_of)
    return [day for day in days if day.as_of in known]


def _enough(days: Sequence[LabelledDay]) -> bool:
    stayed = sum(int(day.purchased.sum()) for day in days)
    lost = sum(len(day.purchased) for day in days) - stayed
    return min(stayed, lost) >= FEWEST_OUTCOMES


def _spend_if_lost(days: Sequence[LabelledDay]) -> float:
    if not days:
        return 0.0
    stayed = np.concatenate([day.purchased for day in days])
    spend = np.concatenate([day.net_spend for day in days])
    if stayed.all() or not stayed.any() or spend[stayed].sum() <= 0:
        return 0.0
    return float(np.clip(spend[~stayed].mean() / spend[stayed].mean(), 0.0, 1.0))


def _calibrated(
    pool: Sequence[Predicted], days: Sequence[LabelledDay], calendar: Calendar, as_of: date
) -> ChurnCalibration:
    over = calendar.over_by(as_of)
    levels = [day.levels[0] for day in days if day.as_of in over]
    when = day_number(as_of), calendar.horizon_days, day_number(calendar.first_day)
    calibration, _ = ChurnCalibration.fit(
        np.concatenate([p.day.prior_churn for p in pool]),
        np.concatenate([p.churn_trees for p in pool]),
        np.concatenate([p.day.churned for p in pool]),
        np.repeat([day_number(p.day.as_of) for p in pool], [len(p.day.matrix) for p in pool]),
        levels,
        forecast(levels, *when),
    )
    return calibration


def _judged(
    pool: Sequence[Predicted], days: Sequence[LabelledDay], calendar: Calendar
) -> dict[str, float]:
    """Judge each day by what the days before it, as far as over by then, had taught."""
    said, terms, seen, judged = [], [], [], 0
    for predicted in pool:
        before = [p for p in pool if p.day.as_of in calendar.before(predicted.day.as_of)]
        if before:
            line = _calibrated(before, days, calendar, predicted.day.as_of)
            said.append(line.probability(predicted.day.prior_churn, predicted.churn_trees))
            terms.append(predicted.day.prior_churn)
            seen.append(predicted.day.churned)
            judged += 1
    if not judged:
        return {}
    chance, lost = np.concatenate(said), np.concatenate(seen)
    return {
        "customers": float(len(lost)),
        "days": float(judged),
        "lost_said": float(chance.mean()),
        "lost_seen": float(lost.mean()),
        **churn_metrics(chance, lost),
        "log_loss_terms": churn_metrics(np.concatenate(terms), lost)["log_loss"],
    }
