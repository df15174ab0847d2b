"""`lifecycle effects`: what actions change, measured on treatments with a control arm."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa

from features.catalogue import CATEGORIES, JOIN_KEY
from features.days import day_number
from features.errors import NotEnoughData
from features.matrix import Vocabulary
from pipelines.console import Terminal
from pipelines.context import Context, Stopwatch
from serving.playbook import Action, load_playbook
from training.training_set import TrainingSet
from training.trees import Machine
from training.uplift.balance import Balance, balance
from training.uplift.curves import Z95, Estimate
from training.uplift.experiment import Experiment
from training.uplift.measured import Measured, measure
from training.uplift.trials import eves, experiments, ripe_assignments

FEWEST_ROWS = 300
FEWEST_BUYERS = 30
"""Below so many in either arm nothing is measured."""


@dataclass(frozen=True)
class EffectsReport:
    """What was measured of each action that was ever assigned.

    Attributes
    ----------
    actions
        By action: ``verdict`` (``measured``, ``not_random`` or ``too_few``), ``why``, the rows of
        both arms, and of what was measured the effect on the chance of a purchase (``effect``), on
        its log-odds (``level``) beside what the playbook assumes, on a buyer's spend (``spend``),
        the ``qini`` of each learner, and the said and seen effects by fifths; each estimate with
        its 95% interval.
    """

    as_of: str
    horizon_days: int
    actions: dict[str, dict[str, Any]]
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def measure_effects(context: Context, as_of: date | None) -> EffectsReport:
    """Measure every action whose treatments had a control arm and are over.

    Parameters
    ----------
    as_of
        Nothing that happened or arrived later is seen; None takes the last day of the data.

    Raises
    ------
    NotEnoughData
        There are no treatments, or none is over.
    """
    watch = Stopwatch()
    context.workspace.require()
    with context.workspace.locked():
        ledger = context.folded_ledger()
        day = as_of or context.observed_until(ledger)
        context.check_day(ledger, day)
        horizon = context.horizon(ledger, day).days
        path = ledger.path("treatments")
        if path is None:
            raise NotEnoughData(
                "there are no treatments to measure effects on; ingest what was assigned, control "
                "rows included: lifecycle ingest --treatments FILE"
            )
        assigned = ripe_assignments(path, day, horizon)
        if assigned.is_empty():
            raise NotEnoughData(
                f"no treatment is {horizon} days old on {day}: its outcome is not known yet; wait, "
                "or set a shorter churn.horizon_days"
            )
        days = eves(assigned)
        context.snapshots(ledger, days)
        store = context.store(ledger)
        store.apply()
        known: dict[date, pa.Table] = {}
        for number, eve in enumerate(days):
            asked = assigned.filter(assigned["event_day"] == day_number(eve) + 1)[JOIN_KEY]
            known[eve] = store.historical(asked.to_arrow(), eve, pushed=False)
            context.say("what was known before", number + 1, len(days))
        training_set = TrainingSet(known)
        vocabulary = Vocabulary.fit(training_set.columns([JOIN_KEY, *CATEGORIES]))
        trials = experiments(assigned, training_set, vocabulary, ledger.orders_path, day, horizon)
        machine = Machine(context.settings.training.seed, context.settings.training.threads)
        book = {a.key: a for a in load_playbook(context.settings.serving.playbook).actions}
        found = {}
        for number, one in enumerate(trials):
            found[one.action] = _told(one, book.get(one.action), machine)
            context.say("effects", number + 1, len(trials))
    return EffectsReport(day.isoformat(), horizon, found, watch.seconds())


def _told(one: Experiment, action: Action | None, machine: Machine) -> dict[str, Any]:
    """Measure one action, or say why it cannot be."""
    arms = {"treated": int(one.treated.sum()), "control": int((~one.treated).sum())}
    buyers = min(int(one.purchased[one.treated].sum()), int(one.purchased[~one.treated].sum()))
    if min(arms.values()) < FEWEST_ROWS or buyers < FEWEST_BUYERS:
        why = (
            f"at least {FEWEST_ROWS} rows and {FEWEST_BUYERS} buyers are wanted in either arm; "
            f"the smaller has {min(arms.values())} and {buyers}"
        )
        return {**arms, "verdict": "too_few", "why": why}
    checked = balance(one, machine)
    if not checked.is_random:
        return {**arms, "verdict": "not_random", "why": _confounded(checked)}
    return {**arms, "verdict": "measured", **_numbers(measure(one, machine), action)}


def _confounded(checked: Balance) -> str:
    return (
        f"the arms were told apart beforehand by {', '.join(checked.by)} ({checked.gain.z:.0f} "
        "standard errors better than the stated chances): who was treated was chosen, and the "
        "difference between the arms is not the action's effect"
    )


def _numbers(found: Measured, action: Action | None) -> dict[str, Any]:
    targeting = (
        f"customers differ: treating by rank pays (Qini of the {found.learner}-learner "
        f"{found.curve.qini.value:.4f}, {found.curve.qini.z:.1f} standard errors)"
        if found.differs
        else "no heterogeneity found: treating by rank moves no more than treating at random"
    )
    assumed = None if action is None else action.lift_log_odds.model_dump()
    return {
        "why": targeting,
        "effect": _estimate(found.effect),
        "level": _estimate(found.level),
        "assumed_level": assumed,
        "spend": _estimate(found.spend),
        "heterogeneous": found.differs,
        "learner": found.learner,
        "slope": _estimate(found.slope),
        "qini": {name: _estimate(one) for name, one in found.qini.items()},
        "auuc": _estimate(found.curve.auuc),
        "fifths": [{"said": one.said, "seen": _estimate(one.seen)} for one in found.fifths],
    }


def _estimate(one: Estimate) -> dict[str, float | None]:
    """Give an estimate and its ends, null where nothing is known."""
    ends = {"value": one.value, "lower": one.lower, "upper": one.upper}
    return {name: end if np.isfinite(one.error) else None for name, end in ends.items()}


COLUMNS = (
    "action", "treated", "control", "more buyers, points", "buyers' spend",
    "log-odds, assumed", "Qini, errors",
)  # fmt: skip


def show(terminal: Terminal, report: EffectsReport) -> None:
    """Print a table of what was measured, and a sentence an action."""
    rows = [[name, *_cells(told)] for name, told in report.actions.items()]
    title = f"\nWithin {report.horizon_days} days, known by {report.as_of}, 95% intervals"
    terminal.table(title, COLUMNS, rows)
    for name, told in report.actions.items():
        terminal.note(f"{name}: {told['why']}")


def _cells(told: Mapping[str, Any]) -> list[str]:
    arms = [f"{told['treated']:,}", f"{told['control']:,}"]
    if told["verdict"] != "measured":
        return [*arms, told["verdict"].replace("_", " "), "", "", ""]
    assumed, qini = told["assumed_level"], told["qini"][told["learner"]]
    beside = "" if assumed is None else f", {assumed['mid']:+.2f}"
    error = (qini["upper"] - qini["value"]) / Z95
    return [
        *arms,
        _interval(told["effect"], 1),
        _interval(told["spend"], 0, "%"),
        f"{told['level']['value']:+.2f}{beside}",
        f"{qini['value']:+.4f}, {qini['value'] / error if error else 0:+.1f}",
    ]


def _interval(told: Mapping[str, float | None], digits: int, unit: str = "") -> str:
    """Format hundredths, with their interval."""
    value, lower, upper = (
        "unknown" if end is None else f"{100 * end:+.{digits}f}"
        for end in (told["value"], told["lower"], told["upper"])
    )
    return f"{value}{unit} ({lower}, {upper})"
