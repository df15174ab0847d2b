"""`lifecycle promote`: let the newest model answer, if it has earned it."""

from __future__ import annotations

import getpass
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from typing import Any

from features.errors import InputError, LifecycleError, WorkspaceError
from features.matrix import matrix_of
from features.snapshots import known_customers
from pipelines.context import Context
from training.answers import PRODUCT, Answers
from training.bootstrap import Estimate
from training.contest import Contest
from training.contest_files import judged_file, read_contests, read_note
from training.gate import Comparison, Said, compare
from training.prior import column
from training.registry import Registry, ScorerVersion
from training.succession import left_by


class Refused(LifecycleError):
    """The gate keeps the former champion; the message says why."""


@dataclass(frozen=True)
class PromoteReport:
    """Which version answers now, and why.

    Attributes
    ----------
    compared
        The comparison with the former champion; None where there was none to be made.
    reason
        What the person said who forced it.
    """

    champion: int
    former: int | None
    why: str
    forced: bool
    reason: str | None
    compared: dict[str, Any] | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Verdict:
    """What the gate says of the newest version."""

    refused: bool
    why: str
    comparison: Comparison | None = None


def promote(context: Context, force: bool = False, reason: str | None = None) -> PromoteReport:
    """Move the alias ``champion`` to the newest version.

    Parameters
    ----------
    reason
        Why it is forced; kept with the version.

    Raises
    ------
    InputError
        A reason is given, but nothing is forced.
    WorkspaceError
        There is no version to promote.
    Refused
        The newest version is worse than the champion, or not trained for the same question.
    """
    if reason is not None and not force:
        raise InputError("--reason says why the gate is overridden; add --force, or leave it out")
    context.workspace.require()
    with context.workspace.locked():
        registry = context.registry()
        newest, champion = registry.newest(), registry.champion()
        if newest is None:
            raise WorkspaceError("there is no model to promote; run `lifecycle train` first")
        verdict = _judge(context, registry, newest, champion)
        if verdict.refused and not force:
            registry.refuse(newest, verdict.why)
            raise Refused(
                f"{verdict.why}; the champion stays. `lifecycle promote --force` overrides this"
            )
        forced = verdict.refused
        why = f"forced: {verdict.why}" if forced else verdict.why
        said = f"{why}; {reason}" if forced and reason else why
        registry.promote(newest, said, _tags(forced, reason), forced, getpass.getuser())
    return PromoteReport(
        newest.version,
        champion.version if champion else None,
        verdict.why,
        forced,
        reason if forced else None,
        verdict.comparison.to_dict() if verdict.comparison else None,
    )


def _tags(forced: bool, reason: str | None) -> dict[str, str]:
    tags = {"promoted_at": datetime.now(UTC).isoformat(timespec="seconds")}
    if forced:
        tags["forced_reason"] = reason or "none was given"
    return tags


def _judge(
    context: Context,
    registry: Registry,
    newest: ScorerVersion,
    champion: ScorerVersion | None,
) -> Verdict:
    """Say whether to refuse, and why or why not."""
    if (left := left_by(registry.succession(), newest.version)) is not None:
        return Verdict(
            True,
            f"version {newest.version} was rolled back by {left.by}: {left.why}; train a new one",
        )
    if champion is None or champion.version == newest.version:
        return Verdict(False, _merit(newest))
    if (other := _another_question(newest, champion)) is not None:
        return Verdict(True, other)
    return _compared(context, registry, newest, champion)


def _another_question(newest: ScorerVersion, champion: ScorerVersion) -> str | None:
    """Say why two versions cannot stand for each other, whatever their merit."""
    name, other = f"version {newest.version}", f"the champion (version {champion.version})"
    if newest.tags.get("horizon_days") != champion.tags.get("horizon_days"):
        return (
            f"{name} predicts {newest.tags.get('horizon_days')} days, {other} "
            f"{champion.tags.get('horizon_days')}"
        )
    if newest.tags.get("as_of", "") < champion.tags.get("as_of", ""):
        return (
            f"{name} was trained as of {newest.tags['as_of']}, before {other}, "
            f"{champion.tags['as_of']}"
        )
    return None


def _compared(
    context: Context, registry: Registry, newest: ScorerVersion, champion: ScorerVersion
) -> Verdict:
    name, other = f"version {newest.version}", f"the champion (version {champion.version})"
    contests = _stored(context, newest)
    said, left_out = answers_of(context, registry, champion, contests)
    if not contests:
        left_out = f"what {name} said of its judged days is not in this workspace"
    gate, seed = context.settings.gate, context.settings.training.seed
    found = compare(contests, said, gate, seed)
    if found is None:
        missing = left_out or "they have no judged day in common"
        return Verdict(False, f"{_merit(newest)}; it was not compared with {other}: {missing}")
    days = f"{len(found.days)} day{'s' * (len(found.days) != 1)} up to {found.days[-1]}"
    if found.excessive:
        losses = "; ".join(map(str, found.excessive))
        return Verdict(True, f"{name} loses to {other} on {days}: {losses}", found)
    gain = -found.primary.value, -found.primary.upper, -found.primary.lower
    return Verdict(
        False,
        f"{name} is no worse than {other} on {days}: primary skill {Estimate(*gain)}, and the "
        f"fresher answers{f' ({left_out})' if left_out else ''}",
        found,
    )


def _merit(newest: ScorerVersion) -> str:
    name = f"version {newest.version}"
    if newest.tags.get("kind") == "btyd":
        return f"{name} answers with BG/NBD + Gamma-Gamma, which its trees did not beat"
    if "primary_skill" in newest.tags:
        days = int(newest.tags.get("evaluation_days", "1"))
        skill = float(newest.tags["primary_skill"])
        verdict = "is no worse than every baseline" if skill >= 0 else "is behind the best baseline"
        return (
            f"{name} {verdict} on {days} day{'s' * (days != 1)} up to "
            f"{newest.tags['evaluation_day']} (primary skill {skill:+.3f}, grade "
            f"{newest.tags.get('grade', 'not given')})"
        )
    return f"{name} has too little history to be judged out of time"


def _stored(context: Context, version: ScorerVersion) -> tuple[Contest, ...]:
    """Read what a version said of its judged days, none where this workspace does not have it."""
    path = judged_file(context.workspace, version.version)
    note = read_note(path)
    return read_contests(path) if note is not None and note["run_id"] == version.run_id else ()


def answers_of(
    context: Context,
    registry: Registry,
    champion: ScorerVersion,
    contests: Sequence[Contest],
) -> tuple[dict[date, Said], str]:
    """Give the champion's answers of days that it had not learned from, and say what is missing.

    From the day of its training on it answers as it is registered; before, by what the recipe said
    of each day when it had seen earlier labels alone.
    """
    trained = date.fromisoformat(champion.tags["as_of"])
    later = [c.day for c in contests if c.day >= trained]
    said, left_out = {}, []
    if later:
        try:
            said = _as_registered(context, registry, champion, later)
        except WorkspaceError as error:
            left_out.append(f"version {champion.version} can no longer answer: {error}")
    if len(later) < len(contests):
        before = {
            c.day: Said(c.customer_ids, c.answers[PRODUCT]) for c in _stored(context, champion)
        }
        if before:
            said = {**before, **said}
        else:
            left_out.append(
                f"what version {champion.version} said of days before {trained} is not in this "
                "workspace"
            )
    return said, "; ".join(left_out)


def _as_registered(
    context: Context, registry: Registry, version: ScorerVersion, days: Sequence[date]
) -> dict[date, Said]:
    bundle = registry.load(version)
    ledger = context.folded_ledger()
    context.snapshots(ledger, list(days))
    store = context.store(ledger)
    store.apply()
    said = {}
    for day in days:
        customers = known_customers(context.workspace, ledger, day)
        rows = store.historical(customers, day, pushed=False)
        matrix = matrix_of(rows, bundle.vocabulary)
        buyers = column(matrix, "purchases") > 0
        found = bundle.predict(matrix[buyers], context.settings.training.threads)
        said[day] = Said(
            rows["customer_id"].to_numpy()[buyers],
            Answers(found.churn_probability, found.expected_spend, found.lower, found.upper),
        )
    return said
