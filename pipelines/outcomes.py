"""`lifecycle outcomes`: what a plan changed, treated against control as they were assigned."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

import numpy as np
import polars as pl

from features.catalogue import JOIN_KEY
from features.days import day_number
from features.definitions.expressions import UNIT_E4
from features.errors import InputError, NotEnoughData
from features.ingest.ledger import Ledger
from pipelines.console import Terminal
from pipelines.context import Context, Stopwatch
from pipelines.plan_words import money
from serving.plan.kept import KeptPlan, KeptPlans
from training.dataset import with_outcomes
from training.labels import labels
from training.uplift.arms import FEWEST_BUYERS, FEWEST_ROWS, Assigned, Compared, compare
from training.uplift.curves import Estimate
from training.uplift.trials import TREATED


@dataclass(frozen=True)
class OutcomesReport:
    """What happened to a plan.

    Attributes
    ----------
    days, horizon_days
        How long after the plan's day was looked at; the whole horizon, or so far.
    carried_out
        Of the plan's rows: ``same`` (ingested as treatments, in the planned arm), ``other`` (in the
        other arm), ``missing``, and ``control_treated``, control customers who had the action in
        that time all the same. None where no treatment of the campaign is ingested.
    total
        Of everybody: see ``groups``.
    groups
        By ``action``, ``stage`` and ``decile`` of the predicted value: customers and buyers of
        both arms, the ``verdict`` (``measured`` or ``too_few``), the change of the chance of buying
        and of net spend with 95% intervals, of the treated the cost and the net value with its
        interval, the value that was expected, and net value per cost.
    """

    campaign: str
    version: int
    plan_day: str
    as_of: str
    days: int
    horizon_days: int
    currency: str
    carried_out: dict[str, int] | None
    total: dict[str, Any]
    groups: dict[str, dict[str, dict[str, Any]]]
    seconds: float

    @property
    def whole(self) -> bool:
        """Whether the horizon is over."""
        return self.days == self.horizon_days

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**asdict(self), "whole_horizon": self.whole}


def outcomes(context: Context, campaign: str, as_of: date | None) -> OutcomesReport:
    """Compare the arms of a plan by what was ordered since, whoever got what in the end.

    Raises
    ------
    InputError
        There is no such campaign, or the day lies outside the data.
    NotEnoughData
        The day is not after the plan's.
    """
    watch = Stopwatch()
    context.workspace.require()
    with context.workspace.locked():
        ledger = context.folded_ledger()
        kept = KeptPlans(context.workspace.plans).require(campaign)
        if kept.withdrawn is not None:
            raise InputError(
                f"the plan of campaign {campaign} was withdrawn by {kept.withdrawn.by} at "
                f"{kept.withdrawn.at} ({kept.withdrawn.why}): there is nothing to read back; name "
                "another campaign, or plan it anew with `lifecycle recommend`"
            )
        day = as_of or context.observed_until(ledger)
        context.check_day(ledger, day)
        horizon = int(kept.report["horizon_days"])
        days = min((day - kept.as_of).days, horizon)
        if days < 1:
            raise NotEnoughData(
                f"campaign {campaign} begins on the day after {kept.as_of}, and nothing later than "
                f"{day} is looked at; ingest what happened since, or name a later --as-of"
            )
        plan = pl.read_parquet(kept.file)
        followed = labels(ledger.orders_path, kept.as_of, days, day)
        rows = with_outcomes(plan, followed)
        confirmed = _confirmed(ledger, kept, plan, days)
    paid = rows["cost"].to_numpy()
    if confirmed is not None:
        rows = rows.join(confirmed.rows, on=[JOIN_KEY, "action"], how="left", maintain_order="left")
        paid = rows["paid"].fill_null(rows["cost"]).to_numpy()
    margin = float(kept.report["margin"])
    told = _Told(rows, paid, margin)
    return OutcomesReport(
        campaign, kept.version, kept.as_of.isoformat(), day.isoformat(), days, horizon,
        kept.report["currency"], None if confirmed is None else confirmed.counts,
        told.of(np.ones(rows.height, dtype=bool)),
        {
            "action": told.by("action"),
            "stage": told.by("lifecycle_stage"),
            "decile": told.by("value_decile"),
        },
        watch.seconds(),
    )  # fmt: skip


@dataclass(frozen=True)
class _Confirmed:
    """What was ingested of a plan: counts, and what each row cost in the end."""

    counts: dict[str, int]
    rows: pl.DataFrame


def _confirmed(ledger: Ledger, kept: KeptPlan, plan: pl.DataFrame, days: int) -> _Confirmed | None:
    path = ledger.path("treatments")
    if path is None:
        return None
    done = pl.scan_parquet(path)
    own = done.filter(pl.col("campaign") == kept.campaign)
    found = (
        own.sort("at")
        .unique([JOIN_KEY, "action"], keep="first", maintain_order=True)
        .select(JOIN_KEY, "action", done_arm="arm", paid=pl.col("cost_e4") / UNIT_E4)
        .collect()
    )
    if found.is_empty():
        return None
    first = day_number(kept.as_of) + 1
    crossed = (
        done.filter(pl.col("arm") == TREATED)
        .filter(pl.col("event_day").is_between(first, first + days - 1))
        .join(
            plan.lazy().filter(pl.col("arm") != TREATED).select(JOIN_KEY, "action"),
            on=[JOIN_KEY, "action"],
            how="semi",
        )
        .select(pl.col(JOIN_KEY).n_unique())
        .collect()
        .item()
    )
    both = plan.join(found, on=[JOIN_KEY, "action"], how="left", maintain_order="left")
    same = int((both["done_arm"] == both["arm"]).sum())
    missing = both["done_arm"].null_count()
    counts = {
        "same": same,
        "other": plan.height - same - missing,
        "missing": missing,
        "control_treated": int(crossed),
    }
    return _Confirmed(counts, found.select(JOIN_KEY, "action", "paid"))


class _Told:
    """Compares groups of a plan's rows."""

    def __init__(self, rows: pl.DataFrame, paid: np.ndarray[Any, Any], margin: float) -> None:
        self._rows = rows
        self._paid = paid
        self._margin = margin
        self._assigned = Assigned(
            (rows["arm"] == TREATED).to_numpy(),
            rows["propensity"].to_numpy(),
            rows["purchased"].to_numpy(),
            rows["net_spend"].to_numpy(),
            1 - rows["churn_probability"].to_numpy(),
            rows["expected_spend"].to_numpy(),
        )

    def by(self, column: str) -> dict[str, dict[str, Any]]:
        """Compare the arms of every group."""
        labels = self._rows[column].to_numpy()
        names = sorted(set(labels.tolist()))
        return {str(name): self.of(labels == name) for name in names}

    def of(self, mask: np.ndarray[Any, Any]) -> dict[str, Any]:
        """Compare the arms of some rows."""
        found = compare(self._assigned.take(mask))
        treated = mask & self._assigned.treated
        cost = float(self._paid[treated].sum())
        expected = self._rows.filter(pl.Series(treated))
        told = {
            "treated": found.treated,
            "control": found.control,
            "treated_buyers": found.treated_buyers,
            "control_buyers": found.control_buyers,
            "cost": cost,
            "expected_value": float(expected["action_value"].sum()),
            "expected_change": float(expected["expected_change"].to_numpy().mean())
            if expected.height
            else 0.0,
        }
        return told | _measured(found, self._margin, cost)


def _measured(found: Compared, margin: float, cost: float) -> dict[str, Any]:
    if found.purchase is None or found.spend is None:
        return {
            "verdict": "too_few",
            "why": f"at least {FEWEST_ROWS} customers and {FEWEST_BUYERS} buyers are wanted in "
            "either arm",
        }
    factor = margin * found.treated
    net = Estimate(factor * found.spend.value - cost, factor * found.spend.error)
    return {
        "verdict": "measured",
        "purchase": _ends(found.purchase),
        "spend": _ends(found.spend),
        "net_value": _ends(net),
        "value_per_cost": net.value / cost if cost > 0 else None,
    }


def _ends(one: Estimate) -> dict[str, float]:
    return {"value": one.value, "lower": one.lower, "upper": one.upper}


COLUMNS = (
    "group", "treated", "control", "more buyers, points", "expected", "cost", "net value",
    "expected", "per cost",
)  # fmt: skip
_NAMES = {"action": "by action", "stage": "by stage", "decile": "by tenth of value"}


def show(terminal: Terminal, report: OutcomesReport) -> None:
    """Print what a plan changed."""
    when = (
        f"over its whole horizon of {report.horizon_days} days"
        if report.whole
        else f"in its first {report.days} of {report.horizon_days} days"
    )
    title = f"Campaign {report.campaign}, planned as of {report.plan_day}, {when}"
    rows = [_cells("all", report.total, report.whole)]
    for kind, groups in report.groups.items():
        rows.append([_NAMES[kind], *[""] * (len(COLUMNS) - 1)])
        rows += [_cells(f"  {name}", told, report.whole) for name, told in groups.items()]
    terminal.table(f"\n{title} ({report.currency}, 95% intervals)", COLUMNS, rows)
    for said in _sentences(report):
        terminal.note(said)


def _sentences(report: OutcomesReport) -> Iterator[str]:
    done = report.carried_out
    if done is None:
        yield (
            "no treatment of the campaign is ingested: this takes it as carried out as planned; "
            "`lifecycle ingest --treatments FILE` says what was"
        )
    else:
        yield (
            f"carried out as planned for {done['same']:,}; {done['other']:,} were in the other arm "
            f"and {done['missing']:,} are not among the treatments; of the control arm "
            f"{done['control_treated']:,} had the action all the same. All count as they were "
            "assigned"
        )
    if not report.whole:
        yield "the horizon is not over: what was expected is of the whole of it"
    few = [name for name, told in report.groups["action"].items() if told["verdict"] == "too_few"]
    if few:
        yield (
            f"too few to tell: {', '.join(few)} (at least {FEWEST_ROWS} customers and "
            f"{FEWEST_BUYERS} buyers in either arm)"
        )
    yield "of twenty such intervals one misses the truth by chance"


def _cells(name: str, told: dict[str, Any], whole: bool) -> list[str]:
    arms = [f"{told['treated']:,}", f"{told['control']:,}"]
    expected = f"{100 * told['expected_change']:+.1f}" if whole else ""
    value = money(told["expected_value"]) if whole else ""
    if told["verdict"] == "too_few":
        return [name, *arms, "too few", expected, money(told["cost"]), "", value, ""]
    per_cost = told["value_per_cost"]
    return [
        name,
        *arms,
        _interval(told["purchase"], 100, 1),
        expected,
        money(told["cost"]),
        _interval(told["net_value"], 1, 0),
        value,
        "" if per_cost is None else f"{per_cost:+.1f}",
    ]


def _interval(told: dict[str, float], factor: float, digits: int) -> str:
    value, lower, upper = (
        f"{factor * told[end]:+,.{digits}f}" for end in ("value", "lower", "upper")
    )
    return f"{value} ({lower}, {upper})"
