"""`lifecycle effects`: what actions change, measured on treatments with a control arm."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

import numpy as np

from pipelines.console import Terminal
from pipelines.context import Context, Stopwatch
from pipelines.trials import measured_lifts, ripe, trials
from serving.evidence import Evidence, assumed_gains, borne_out, provenance
from serving.mixture import LIKELIER
from serving.playbook import Action, load_playbook
from serving.worth import Effects
from training.trees import Machine
from training.uplift.curves import Z95, Estimate
from training.uplift.experiment import Experiment
from training.uplift.lifts import Lifts, sized
from training.uplift.measured import Measured, measure


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
        its 95% interval. ``worth`` is what answers go by: the relative change of everybody's net
        spend, measured, assumed and both together, the share that is measured, what incentives
        cost of the expected spend, and by which facts customers differ.
    borne_out
        How much of what the playbook assumes has shown, over all actions; None where none was
        measured.
    nothing_works
        How likely it is that no action does anything here.
    kept_untried
        How much of its promise is believed of an action that was never tried; None where all were.
    """

    as_of: str
    horizon_days: int
    actions: dict[str, dict[str, Any]]
    borne_out: dict[str, float] | None
    nothing_works: float
    kept_untried: float | None
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
        assigned = ripe(context, ledger, day, horizon)
        found = trials(context, ledger, assigned, day, horizon)
        lifts = measured_lifts(context, ledger, day, horizon, found)
        actions = load_playbook(context.settings.serving.playbook).actions
        evidence = Evidence.of(actions, lifts)
        told = _told(context, found, lifts, actions, evidence)
    share = borne_out(actions, lifts)
    return EffectsReport(
        day.isoformat(),
        horizon,
        told,
        _ends(Estimate(*share)) if np.isfinite(share[1]) else None,
        evidence.belief.nothing,
        _kept_untried(actions, lifts, evidence),
        watch.seconds(),
    )


def _told(
    context: Context,
    found: list[Experiment],
    lifts: Lifts,
    actions: tuple[Action, ...],
    evidence: Evidence,
) -> dict[str, dict[str, Any]]:
    training = context.settings.training
    machine = Machine(training.seed, training.threads)
    places = {action.key: place for place, action in enumerate(actions)}
    told: dict[str, dict[str, Any]] = {}
    by_action = {one.action: one for one in found}
    for number, tried in enumerate(lifts.tried):
        told[tried.action] = {
            "treated": tried.treated,
            "control": tried.control,
            "verdict": tried.verdict,
            "why": tried.why,
        }
        if tried.lift is not None:
            place = places.get(tried.action)
            action = None if place is None else actions[place]
            one = by_action[tried.action]
            told[tried.action] |= _numbers(measure(one, sized(machine, len(one))), action)
            told[tried.action]["worth"] = _worth(tried.action, actions, place, lifts, evidence)
        context.say("effects", number + 1, len(lifts.tried))
    return told


def _worth(
    name: str,
    actions: tuple[Action, ...],
    place: int | None,
    lifts: Lifts,
    evidence: Evidence,
) -> dict[str, Any]:
    """Tell what answers go by: the relative change of expected net spend, and what it rests on."""
    one = lifts.measured[name]
    slopes = lifts.differences(name)[0]
    told: dict[str, Any] = {
        "measured": {end: float(np.expm1(x)) for end, x in _ends(one.level).items()},
        "incentive_share": None if one.cost is None else _ends(one.cost),
        "differs_by": {
            fact: float(slope)
            for fact, slope in zip(lifts.moderators.names, slopes, strict=True)
            if slope
        },
    }
    if place is None:
        return told
    belief = evidence.belief
    kept, weight, share = (float(x[place]) for x in (belief.kept, belief.weight, belief.share))
    assumed = float(assumed_gains(Effects.of(actions), place, one)[1])
    measured = told["measured"]["value"]
    return told | {
        "assumed": assumed,
        "assumed_counts": kept,
        "measured_counts": weight,
        "together": kept * assumed + weight * measured,
        "measured_share": share,
        "effect": provenance(share),
    }


def _kept_untried(actions: tuple[Action, ...], lifts: Lifts, evidence: Evidence) -> float | None:
    kept = [
        float(evidence.belief.kept[place])
        for place, action in enumerate(actions)
        if action.key not in lifts.measured and lifts.measured
    ]
    return kept[0] if kept else None


def _ends(one: Estimate) -> dict[str, float]:
    return {"value": one.value, "lower": one.lower, "upper": one.upper}


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
    "action", "treated", "control", "more buyers, points", "all spend", "assumed", "together",
    "measured", "Qini, errors",
)  # fmt: skip


def show(terminal: Terminal, report: EffectsReport) -> None:
    """Print a table of what was measured, and a sentence an action."""
    rows = [[name, *_cells(told)] for name, told in report.actions.items()]
    title = f"\nWithin {report.horizon_days} days, known by {report.as_of}, 95% intervals"
    terminal.table(title, COLUMNS, rows)
    for name, told in report.actions.items():
        terminal.note(f"{name}: {told['why']}")
    if report.borne_out is not None:
        terminal.note(_summary(report.borne_out, report.nothing_works))
    if report.kept_untried is not None:
        terminal.note(
            f"Of an action that was never tried, {report.kept_untried:.0%} of what the playbook "
            "promises is believed, by how the promises of the others held."
        )


def _summary(share: Mapping[str, float], nothing: float) -> str:
    shown = (
        f"On the whole {_interval(share, 0, '%')} of what the playbook assumes has shown; "
        "`train` puts what was measured into the scorer"
    )
    if nothing < LIKELIER:
        return f"{shown}."
    return (
        f"{shown}. It is likelier than not ({nothing:.0%}) that no action does anything here, and "
        "nobody is treated until more shows."
    )


def _cells(told: Mapping[str, Any]) -> list[str]:
    arms = [f"{told['treated']:,}", f"{told['control']:,}"]
    if told["verdict"] != "measured":
        return [*arms, told["verdict"].replace("_", " "), "", "", "", "", ""]
    qini, worth = told["qini"][told["learner"]], told["worth"]
    error = (qini["upper"] - qini["value"]) / Z95
    known = ["not in the playbook", "", ""]
    if "assumed" in worth:
        known = [
            f"{100 * worth['assumed']:+.0f}%",
            f"{100 * worth['together']:+.0f}%",
            f"{100 * worth['measured_share']:.0f}%",
        ]
    return [
        *arms,
        _interval(told["effect"], 1),
        _interval(worth["measured"], 0, "%"),
        *known,
        f"{qini['value']:+.4f}, {qini['value'] / error if error else 0:+.1f}",
    ]


def _interval(told: Mapping[str, float | None], digits: int, unit: str = "") -> str:
    """Format hundredths, with their interval."""
    value, lower, upper = (
        "unknown" if end is None else f"{100 * end:+.{digits}f}"
        for end in (told["value"], told["lower"], told["upper"])
    )
    return f"{value}{unit} ({lower}, {upper})"
