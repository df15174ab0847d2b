"""The steps of a run, in their order: each may be done again, and does nothing twice.

A step asks what stands before it works: files are known by their bytes, snapshots, scores, plans
and models by all that they follow from. So a run that was killed is gone on with by the next.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from features.errors import NotEnoughData
from features.ingest.contract import TABLES
from features.ingest.ledger import Ledger
from pipelines.context import Context
from pipelines.cycle.journal import Journal, Outcome, State
from pipelines.watching.checks import Alert

if TYPE_CHECKING:
    from training.registry import Registry, ScorerVersion


DATA = "data/"
MODEL = ("predictions/", "outcomes/")
"""How the keys of alarms begin that say so of data, and of the model."""
ACCEPTED_DAYS = 182
"""How long an alarm that was let pass stays so: by then, what is new is what is usual."""


@dataclass
class Cycle:
    """One run as it goes: what it was asked, and what its steps tell each other.

    Attributes
    ----------
    asked
        Day that it is of; None: the last day that the data cover.
    retrain
        Whether to train although it is not due.
    anyway
        Whether to go on although the data look broken.
    """

    context: Context
    journal: Journal
    asked: date | None = None
    retrain: bool = False
    anyway: bool = False

    @property
    def ledger(self) -> Ledger:
        """The data as they are now."""
        return self.context.ledger()

    @property
    def holds_data(self) -> bool:
        """Whether anything was ingested yet."""
        return Ledger(self.context.workspace).started

    @property
    def day(self) -> date:
        """The day that the run is of."""
        return self.asked or self.context.observed_until(self.ledger)

    @property
    def registry(self) -> Registry:
        """The models as they are now."""
        return self.context.registry()

    @property
    def alerts(self) -> list[Alert]:
        """What monitoring said of the day; steps that are called one by one share it too."""
        seen = self.journal.remembered("watch")
        if seen is None or seen["day"] != self.day.isoformat():
            return []
        return [Alert(**alert) for alert in seen["alerts"]]

    @property
    def alarms(self) -> list[Alert]:
        """Those of the alerts that somebody is to look at."""
        return [alert for alert in self.alerts if alert.severity == "alarm"]

    @property
    def broken(self) -> str | None:
        """Why nothing new is to be made of these data; None where they look whole."""
        if self.anyway:
            return None
        days = self.journal.remembered("accepted") or {}
        since = (self.day - timedelta(days=ACCEPTED_DAYS)).isoformat()
        for alarm in self.alarms:
            if alarm.key.startswith(DATA) and days.get(alarm.key, "") < since:
                return (
                    f"{alarm.sentence}; mend the export, or accept it by `lifecycle run --anyway`"
                )
        return None

    def accept(self) -> None:
        """Let pass what looks broken now, in the runs to come too."""
        days = self.journal.remembered("accepted") or {}
        now = {a.key: self.day.isoformat() for a in self.alarms if a.key.startswith(DATA)}
        self.journal.remember("accepted", {**days, **now})


Step = Callable[[Cycle], Outcome]


def ingest(cycle: Cycle) -> Outcome:
    """Read the files that the settings name, those that were not read before."""
    from features.ingest.reading import file_digest  # noqa: PLC0415
    from pipelines.ingest import files_of_settings  # noqa: PLC0415
    from pipelines.ingest import ingest as job  # noqa: PLC0415

    context = cycle.context
    files = files_of_settings(context)
    if not files:
        return Outcome("not due", "no settings name files to read (data.orders)")
    settings = context.settings.data.model_dump(
        mode="json", exclude={str(table) for table in TABLES}
    )
    digests = {str(file.path): f"{file.table}:{file_digest(file.path)}" for file in files}
    before = cycle.journal.remembered("ingest") or {}
    known = set(before.get("files", ())) if before.get("settings") == settings else set()
    known &= _held(context)
    fresh = [file for file in files if digests[str(file.path)] not in known]
    if not fresh:
        return Outcome("unchanged", f"{len(files)} files, read before")
    reports = job(context, fresh, {})
    left = {"settings": settings, "files": sorted(set(digests.values()))}
    cycle.journal.remember("ingest", left)
    said = ", ".join(f"{report.source} {report.counts['kept']:,} rows" for report in reports)
    return Outcome("done", said, {"files": [report.to_dict() for report in reports]})


def _held(context: Context) -> set[str]:
    ledger = Ledger(context.workspace)
    if not context.workspace.exists() or not ledger.started:
        return set()
    return {f"{entry['table']}:{entry['digest']}" for entry in ledger.manifest()["exports"]}


def features(cycle: Cycle) -> Outcome:
    """Compute the day's snapshot; it is not put online yet."""
    from pipelines.features import compute_features  # noqa: PLC0415

    report = compute_features(cycle.context, [cycle.day], online=False)
    said = f"{report.customers:,} customers on {cycle.day}"
    return Outcome("done" if report.computed else "unchanged", said, report.to_dict())


def watch(cycle: Cycle) -> Outcome:
    """Compare what was said with what happened, and the data and features with former ones."""
    from pipelines.watch import watch as job  # noqa: PLC0415

    delay, day = cycle.context.settings.run.expected_delay_days, cycle.day
    if cycle.asked is None and delay is not None:
        day = max(day, datetime.now(UTC).date() - timedelta(days=delay))
    seen = job(cycle.context, day)
    told = [alert.to_dict() for alert in seen.alerts]
    cycle.journal.remember("watch", {"day": cycle.day.isoformat(), "alerts": told})
    if cycle.anyway:
        cycle.accept()
    said = "; ".join(alert.sentence for alert in seen.alerts) or "nothing that was not so before"
    return Outcome("done", said, seen.to_dict())


def train(cycle: Cycle) -> Outcome:
    """Train where it is due, unless the same was trained already."""
    from pipelines.train import TRAINING_KEY, train_scorer, training_key  # noqa: PLC0415

    if (why := cycle.broken) is not None:
        return Outcome("held", why)
    context, day = cycle.context, cycle.day
    newest = cycle.registry.newest()
    due = "it was asked for" if cycle.retrain else _due(cycle, newest)
    if due is None and newest is not None:
        return Outcome("not due", f"version {newest.version} is of {newest.tags['as_of']}")
    with context.workspace.locked():
        key = training_key(context, context.folded_ledger(), day)
    if newest is not None and newest.tags.get(TRAINING_KEY) == key:
        return Outcome("unchanged", f"version {newest.version} was trained on these very data")
    try:
        report = train_scorer(context, day)
    except NotEnoughData as error:
        return Outcome("held", str(error))
    said = f"version {report.model_version} ({report.kind}), because {due}"
    return Outcome("done", said, report.to_dict())


def _due(cycle: Cycle, newest: ScorerVersion | None) -> str | None:
    """Say why to train; None where it is not due."""
    if newest is None:
        return "there was no model"
    settings, trained = cycle.context.settings.run, date.fromisoformat(newest.tags["as_of"])
    age = (cycle.day - trained).days
    if age >= settings.retrain_days:
        return f"version {newest.version} is {age} days old"
    wrong = [alarm.sentence for alarm in cycle.alarms if alarm.key.startswith(MODEL)]
    return wrong[0] if settings.retrain_on_alarm and wrong and age > 0 else None


def promote(cycle: Cycle) -> Outcome:
    """Ask the gate whether the newest version may answer."""
    from pipelines.promote import Refused  # noqa: PLC0415
    from pipelines.promote import promote as job  # noqa: PLC0415
    from training.registry import DECISION, UNDECIDED, WHY  # noqa: PLC0415

    if (why := cycle.broken) is not None:
        return Outcome("held", why)
    registry = cycle.registry
    newest, champion = registry.newest(), registry.champion()
    if newest is None:
        return Outcome("held", "there is no model to promote")
    name = f"version {newest.version}"
    if champion is not None and champion.version == newest.version:
        return Outcome("unchanged", f"{name} answers")
    decision = newest.tags.get(DECISION, UNDECIDED)
    if decision != UNDECIDED:
        return Outcome("refused", f"{name} was {decision} before: {newest.tags.get(WHY, '')}")
    try:
        report = job(cycle.context)
    except Refused as refusal:
        return Outcome("refused", str(refusal))
    return Outcome("done", report.why, report.to_dict())


def materialise(cycle: Cycle) -> Outcome:
    """Put the day's features online."""
    from features.store import read_state  # noqa: PLC0415
    from pipelines.features import compute_features  # noqa: PLC0415

    if (why := cycle.broken) is not None:
        return Outcome("held", why)
    context = cycle.context
    before = read_state(context.workspace, context.settings.stores.online)
    report = compute_features(context, [cycle.day], online=True)
    after = read_state(context.workspace, context.settings.stores.online)
    said = f"{report.online_as_of} is online"
    return Outcome("unchanged" if before == after else "done", said, report.to_dict())


def score(cycle: Cycle) -> Outcome:
    """Score every customer known on the day, and deliver the scores where settings say."""
    from pipelines.score import score as job  # noqa: PLC0415

    if (why := _unable(cycle)) is not None:
        return Outcome("held", why)
    settings = cycle.context.settings.run
    report = job(cycle.context, cycle.day, settings.deliver_to, settings.reasons)
    said = f"{report.customers:,} customers by version {report.model_version}"
    if report.delivered is not None:
        said = f"{said}, in {report.file}"
    return Outcome("done" if report.computed else "unchanged", said, report.to_dict())


def recommend(cycle: Cycle) -> Outcome:
    """Plan actions for the days to come, where settings ask for it."""
    from pipelines.recommend import Wish  # noqa: PLC0415
    from pipelines.recommend import recommend as job  # noqa: PLC0415

    settings, day = cycle.context.settings.run, cycle.day
    if not settings.plan:
        return Outcome("not due", "no plan is asked for (run.plan)")
    if (why := _unable(cycle)) is not None:
        return Outcome("held", why)
    wish = Wish(
        as_of=day,
        budget=settings.budget,
        campaign=f"run-{day}",
        out=settings.plan_to,
        mapping=settings.plan_mapping,
        days=settings.plan_days,
    )
    report = job(cycle.context, wish)
    said = f"campaign {report.campaign}: {report.plan['treated']:,} to be treated"
    return Outcome("done" if report.computed else "unchanged", said, report.to_dict())


def report(cycle: Cycle) -> Outcome:
    """Write the lifecycle report, unless all that it tells is as it was.

    It scores no earlier days: what was not said then is not to be what a stage came from.
    """
    from pipelines.report.report import report as job  # noqa: PLC0415

    if (why := cycle.broken) is not None:
        return Outcome("held", why)
    context = cycle.context
    page = context.workspace.root / "lifecycle-report.html"
    key = _told(cycle)
    if page.is_file() and cycle.journal.remembered("report") == key:
        return Outcome("unchanged", str(page))
    done = job(context, cycle.day, context.settings.run.period, None, page, history=0)
    cycle.journal.remember("report", key)
    return Outcome("done", str(page), {"file": done.file, "language": done.language})


def retain(cycle: Cycle) -> Outcome:
    """Remove what is kept longer than the settings allow."""
    from pipelines.retain import retain as job  # noqa: PLC0415

    report = job(cycle.context)
    state: State = "done" if any(report.removed.values()) else "unchanged"
    return Outcome(state, "; ".join(report.sentences()), report.to_dict())


def _unable(cycle: Cycle) -> str | None:
    if (why := cycle.broken) is not None:
        return why
    return "no model has been promoted yet" if cycle.registry.champion() is None else None


def _told(cycle: Cycle) -> dict[str, Any]:
    """Name all that the report is of."""
    from features import __version__  # noqa: PLC0415
    from serving.plan.kept import KeptPlans  # noqa: PLC0415

    context, champion = cycle.context, cycle.registry.champion()
    return {
        "day": cycle.day.isoformat(),
        "data": cycle.ledger.fingerprint(cycle.day),
        "champion": None if champion is None else champion.version,
        "plans": sorted(plan.key for plan in KeptPlans(context.workspace.plans).all()),
        "alerts": [alert.to_dict() for alert in cycle.alerts],
        "settings": context.settings.model_dump(mode="json"),
        "version": __version__,
    }


STEPS: dict[str, Step] = {
    "ingest": ingest,
    "features": features,
    "watch": watch,
    "train": train,
    "promote": promote,
    "materialise": materialise,
    "score": score,
    "recommend": recommend,
    "report": report,
    "retain": retain,
}
"""Every step by its name, in their order."""
