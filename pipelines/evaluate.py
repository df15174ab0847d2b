"""`lifecycle evaluate`: what a playbook would have brought on past treatments of known chances."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from features.catalogue import JOIN_KEY
from features.days import day_number
from features.errors import NotEnoughData
from features.matrix import matrix_of
from pipelines.console import Terminal
from pipelines.context import Context, Stopwatch
from pipelines.trials import known_before, ripe, trials
from serving.playbook import LET_GO, NONE, load_playbook
from serving.scorer import Scorer
from training.stage_rules import load_stage_rules
from training.trees import Machine
from training.uplift.curves import Estimate
from training.uplift.experiment import Bool, Experiment, Float
from training.uplift.learners import cross_fit
from training.uplift.lifts import judge
from training.uplift.off_policy import Logged, PolicyValue, difference, gains, policy_value

LIVE, NEW, EVERYONE = "live", "new", "everyone"


@dataclass(frozen=True)
class EvaluateReport:
    """What playbooks would have brought.

    Attributes
    ----------
    rows, unstated
        Past assignments whose horizon is over, and how many of them have no chance written down
        and are left out.
    in_sample
        Of the rows, on days that the model has learned from: it knows what followed.
    policies
        By ``live``, ``new`` (if one was given) and ``everyone`` (whoever was drawn has the action):
        ``rows`` that the past can tell of, ``acts``, ``unknown`` (rows in which something else
        would have been done), the value above doing nothing a row, net of costs, ``weighted`` and
        ``robust`` with 95% intervals, and ``effective`` rows.
    difference
        New less live, doubly robust, a row that the past can tell of both.
    left_out
        Actions on which nothing is said, and why.
    """

    as_of: str
    horizon_days: int
    currency: str
    playbooks: dict[str, str]
    rows: int
    unstated: int
    in_sample: int
    policies: dict[str, dict[str, Any]]
    difference: dict[str, float] | None
    left_out: dict[str, str]
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def evaluate(context: Context, playbook: Path | None, as_of: date | None) -> EvaluateReport:
    """Value the live playbook, and another, by past assignments.

    Raises
    ------
    InputError
        The playbook cannot be read, or the day lies outside the data.
    NotEnoughData
        There are no treatments that are over, their chances were not written down, or none of
        their actions can be judged.
    """
    watch = Stopwatch()
    settings = context.settings
    sensitive = settings.data.sensitive_attributes
    new = None if playbook is None else load_playbook(playbook, sensitive)
    context.workspace.require()
    with context.workspace.locked():
        ledger = context.folded_ledger()
        day = as_of or context.observed_until(ledger)
        context.check_day(ledger, day)
        horizon = context.horizon(ledger, day).days
        scorer = Scorer.champion(context.registry(), settings.serving, sensitive)
        scorers = {LIVE: scorer}
        if new is not None:
            rules = load_stage_rules(settings.serving.stage_rules)
            scorers[NEW] = scorer.ruled_by(new, rules)
        assigned = ripe(context, ledger, day, horizon)
        stated = assigned.filter(pl.col("chance").is_between(0, 1, closed="none"))
        if stated.is_empty():
            raise NotEnoughData(
                f"of {assigned.height:,} past treatments none has the chance of its arm written "
                "down (propensity): without it, what a playbook would have brought cannot be told "
                "from whom was chosen; `lifecycle recommend` writes it down"
            )
        known = known_before(context, ledger, stated)
        decided = _decided(stated, known, scorers, settings.training.threads)
        found = trials(context, ledger, stated, day, horizon, known)
        machine = Machine(settings.training.seed, settings.training.threads)
        judged, left_out = _judged(context, found, machine)
    if not judged:
        why = "; ".join(f"{action}: {reason}" for action, reason in left_out.items())
        raise NotEnoughData(f"no action that was tried can be judged ({why})")
    log = _log(judged, decided, scorer.bundle.terms.margin, machine)
    return EvaluateReport(
        day.isoformat(),
        horizon,
        scorer.bundle.currency,
        {name: one.playbook_version for name, one in scorers.items()},
        log.rows.height,
        assigned.height - stated.height,
        int((log.rows["event_day"] <= day_number(scorer.bundle.as_of)).sum()),
        {name: log.told(name) for name in (*scorers, EVERYONE)},
        _ends(log.difference()) if new is not None else None,
        left_out,
        watch.seconds(),
    )


def _decided(
    assigned: pl.DataFrame,
    known: Mapping[date, pa.Table | Path],
    scorers: Mapping[str, Scorer],
    threads: int,
) -> pl.DataFrame:
    """Ask every playbook what it would have done for those assigned, by what was known.

    Returns
    -------
    polars.DataFrame
        The assignments' columns, and for each playbook its action and what the assigned one costs
        by it, ``_cost``.
    """
    parts = []
    for eve, table in known.items():
        rows = assigned.filter(pl.col("event_day") == day_number(eve) + 1)
        if not isinstance(table, pa.Table):
            raise TypeError("what was known before is to be in memory")
        ids = table[JOIN_KEY].combine_chunks()
        places = pc.index_in(rows[JOIN_KEY].to_arrow().cast(ids.type), ids)
        there = np.asarray(pc.is_valid(places))
        place = np.asarray(pc.fill_null(places, 0), dtype=np.intp)[there]
        rows = rows.filter(pl.Series(there))
        for name, scorer in scorers.items():
            matrix = matrix_of(table, scorer.bundle.vocabulary)
            chosen = scorer.score(matrix, threads, "none").choices
            keys = {key: number for number, key in enumerate(chosen.keys[1:])}
            action = np.array([keys.get(key, -1) for key in rows["action"]])
            # What the playbook has not costs it nothing, and it never does it.
            cost = np.where(action < 0, 0.0, chosen.cost[place, action])
            rows = rows.with_columns(
                pl.Series(name, chosen.action[place]), pl.Series(f"{name}_cost", cost)
            )
        parts.append(rows)
    return pl.concat(parts)


def _judged(
    context: Context, found: Sequence[Experiment], machine: Machine
) -> tuple[list[Experiment], dict[str, str]]:
    judged, left_out = [], {}
    for number, one in enumerate(found):
        said = judge(one, machine)
        if said.verdict == "measured":
            judged.append(one)
        else:
            left_out[one.action] = said.why
        context.say("judging the arms", number + 1, len(found))
    return judged, left_out


@dataclass(frozen=True)
class _Log:
    """Past assignments as they are valued, and what each playbook would have done."""

    rows: pl.DataFrame
    logged: Logged

    def acts(self, name: str) -> tuple[Bool, Bool]:
        """Whether a policy does the action of each row, and whether the row can tell of it."""
        if name == EVERYONE:
            everywhere = np.ones(self.rows.height, dtype=np.bool_)
            return everywhere, everywhere
        choice = self.rows[name]
        acts = (choice == self.rows["action"]).to_numpy()
        return acts, acts | choice.is_in([NONE, LET_GO]).to_numpy()

    def cost(self, name: str) -> Float:
        """What each row's action costs by a playbook."""
        column = LIVE if name == EVERYONE else name
        cost: Float = self.rows[f"{column}_cost"].to_numpy()
        return cost

    def told(self, name: str) -> dict[str, Any]:
        """Value a policy."""
        acts, told = self.acts(name)
        if not told.any():
            return {"rows": 0, "acts": 0, "unknown": self.rows.height}
        found = policy_value(_some(self.logged, told), acts[told], self.cost(name)[told])
        return {**_numbers(found), "unknown": int((~told).sum())}

    def difference(self) -> Estimate:
        """Value the new playbook less the live one, where the past can tell of both."""
        acts, told = zip(*(self.acts(name) for name in (NEW, LIVE)), strict=True)
        both = told[0] & told[1]
        logged = _some(self.logged, both)
        new, live = (
            gains(logged, does[both], self.cost(name)[both])
            for name, does in zip((NEW, LIVE), acts, strict=True)
        )
        return difference(logged, (new, live))


def _log(
    judged: Sequence[Experiment], decided: pl.DataFrame, margin: float, machine: Machine
) -> _Log:
    rows, parts = [], []
    for one in judged:
        own = decided.filter(pl.col("action") == one.action)
        if own[JOIN_KEY].to_list() != one.customers.tolist():
            raise RuntimeError(f"the assignments of {one.action} were not joined row by row")
        score = margin * cross_fit(one, machine).spend_score
        numbers = np.arange(len(one))
        parts.append(Logged(numbers, one.treated, one.chance, margin * one.net_spend, score))
        rows.append(own)
    whole = pl.concat(rows)
    customer = np.unique(whole[JOIN_KEY].to_numpy(), return_inverse=True)[1].astype(np.int64)
    columns = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in ("treated", "chance", "margin", "score")
    }
    return _Log(whole, Logged(customer, **columns))


def _some(logged: Logged, rows: NDArray[np.bool_]) -> Logged:
    columns = {name: getattr(logged, name)[rows] for name in Logged.__dataclass_fields__}
    return replace(logged, **columns)


def _numbers(found: PolicyValue) -> dict[str, Any]:
    return {
        "rows": found.rows,
        "acts": found.acts,
        "weighted": _ends(found.weighted),
        "robust": _ends(found.robust),
        "effective": found.effective,
    }


def _ends(one: Estimate) -> dict[str, float]:
    return {"value": one.value, "lower": one.lower, "upper": one.upper}


COLUMNS = (
    "policy", "rows", "acts in", "rows of effect", "value a row, weighted", "doubly robust",
    "cannot tell",
)  # fmt: skip
_POLICIES = {LIVE: "live playbook", NEW: "new playbook", EVERYONE: "the action for everyone drawn"}


def show(terminal: Terminal, report: EvaluateReport) -> None:
    """Print what playbooks would have brought."""
    title = (
        f"\nAbove doing nothing, within {report.horizon_days} days, on {report.rows:,} past "
        f"treatments known by {report.as_of} ({report.currency}, 95% intervals)"
    )
    terminal.table(title, COLUMNS, [_cells(*one) for one in report.policies.items()])
    for said in _sentences(report):
        terminal.note(said)


def _sentences(report: EvaluateReport) -> Iterator[str]:
    if report.difference is not None:
        clear = report.difference["lower"] > 0 or report.difference["upper"] < 0
        yield (
            f"new less live, where the past can tell of both: {_interval(report.difference)} a row"
            + ("" if clear else ": no difference has shown")
        )
    if report.unstated:
        yield (
            f"{report.unstated:,} treatments have no chance of their arm written down and are left "
            "out"
        )
    if report.in_sample:
        yield (
            f"{report.in_sample:,} of the rows are of days that the model has learned from: what "
            "is said of them flatters it"
        )
    for action, why in report.left_out.items():
        yield f"{action} is left out: {why}"


def _cells(name: str, told: Mapping[str, Any]) -> list[str]:
    counts = [_POLICIES[name], f"{told['rows']:,}", f"{told['acts']:,}"]
    if not told["rows"]:
        return [*counts, "", "", "", f"{told['unknown']:,}"]
    return [
        *counts,
        f"{told['effective']:,.0f}",
        _interval(told["weighted"]),
        _interval(told["robust"]),
        f"{told['unknown']:,}",
    ]


def _interval(told: Mapping[str, float]) -> str:
    return f"{told['value']:+.2f} ({told['lower']:+.2f}, {told['upper']:+.2f})"
