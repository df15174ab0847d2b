"""`lifecycle report`: what changed, why, and what to do, as one page that needs no network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, get_args

from features.catalogue import KeyType
from features.errors import InputError, LifecycleError
from features.ingest.ledger import Ledger
from features.scores import scored_days, scores_path
from features.snapshot_files import stored_key
from features.workspace import replacing
from pipelines.context import Context, Stopwatch
from pipelines.outcomes import outcomes
from pipelines.report.acquisition import acquisition
from pipelines.report.actions import Campaign, actions, campaign
from pipelines.report.contents import Contents
from pipelines.report.customer import Customer, look_at
from pipelines.report.customer_page import customer_page
from pipelines.report.development import development
from pipelines.report.findings import findings
from pipelines.report.journey import journey
from pipelines.report.known import Known
from pipelines.report.loss import loss
from pipelines.report.page import report_page
from pipelines.report.periods import A_YEAR, PeriodKind, whole_periods
from pipelines.report.points import Series, settled
from pipelines.report.predictions import Predictions, from_judged, from_scores
from pipelines.report.retention import retention
from pipelines.report.scored import Scored
from pipelines.report.stages import flow, observed, stage_rows
from pipelines.report.telling import Teller
from pipelines.report.tracking import log_report
from pipelines.report.trade import trade
from pipelines.report.words import Words
from pipelines.report.worth import worth
from pipelines.score import score, scores_key
from pipelines.watching.kept import read_health
from serving.deliveries import Deliveries
from serving.former_stages import FormerStages
from serving.plan.kept import KeptPlans
from serving.playbook import load_playbook
from serving.reasons import Reasons
from serving.scorer import Scorer
from serving.sentences import LANGUAGES, Language
from training.bundle import ScorerBundle
from training.contest_files import judged_file, read_contests
from training.stages import VOCABULARIES

HISTORY = 5
"""Ends of earlier periods whose stages are shown, scored now where they never were."""
_ACTIVATION_DAYS = 30
"""How long a customer is new where no model has fitted it."""


@dataclass(frozen=True)
class _Champion:
    """The model that answers, as far as a report asks it."""

    version: int
    bundle: ScorerBundle


@dataclass(frozen=True)
class ReportDone:
    """A report that was written.

    Attributes
    ----------
    run_id
        The run of MLflow that keeps it.
    """

    file: str
    language: Language
    contents: Contents
    said: dict[str, list[str]]
    run_id: str
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON: every indicator, what was said of them, and where the page is."""
        return {
            "file": self.file,
            "language": self.language,
            "findings": self.said,
            "run_id": self.run_id,
            "seconds": self.seconds,
            **self.contents.to_dict(),
        }


def report(
    context: Context,
    as_of: date | None,
    kind: PeriodKind,
    asked: Language | None,
    out: Path,
    history: int = HISTORY,
) -> ReportDone:
    """Write the report of a day, and keep it in MLflow; see :func:`gather`.

    Raises
    ------
    InputError
        The day lies outside the data, or there is no such folder to write to.
    """
    watch = Stopwatch()
    context.workspace.require()
    check_page(out)
    settings = context.settings
    language = asked or settings.serving.language
    contents = gather(context, as_of, kind, history)
    found = findings(contents)
    words = Words(language, contents.currency, settings.serving.vocabulary)
    names = _names(context, language)
    with replacing(out) as temporary:
        temporary.write_text(report_page(contents, found, words, names), encoding="utf-8")
    said = Teller(words, contents, names).everything(found)
    run_id = log_report(context, contents, found, language, out, said)
    return ReportDone(str(out), language, contents, said, run_id, watch.seconds())


def customer_report(
    context: Context, named: str, as_of: date | None, asked: Language | None, out: Path
) -> Customer:
    """Write the page of one customer; it stays out of MLflow, for it names a person.

    Raises
    ------
    InputError
        Nobody of that name is known on the day, or there is no such folder to write to.
    """
    context.workspace.require()
    check_page(out)
    settings = context.settings
    language = asked or settings.serving.language
    customer = look_at(context, named, as_of, language)
    words = Words(language, customer.currency, settings.serving.vocabulary)
    with replacing(out) as temporary:
        page = customer_page(customer, words, _names(context, language))
        temporary.write_text(page, encoding="utf-8")
    Deliveries(context.workspace).note_file("report", out, datetime.now(UTC))
    return customer


def _names(context: Context, language: Language) -> dict[str, str]:
    """Name every action of the playbook in use."""
    settings = context.settings
    playbook = load_playbook(settings.serving.playbook, settings.data.sensitive_attributes)
    return {
        action.key: action.name_en if language == "en" else action.name_zh
        for action in playbook.actions
    }


def check_page(out: Path) -> None:
    """Refuse a place that no page can be written to.

    Raises
    ------
    InputError
        It is not named as a page, or its folder is not there.
    """
    if out.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"{out.name} is no .html; name the page so")
    if not out.parent.is_dir():
        raise InputError(f"the folder {out.parent} does not exist; make it first")


def gather(
    context: Context, as_of: date | None, kind: PeriodKind, history: int = HISTORY
) -> Contents:
    """Gather the facts of a report; nothing is written but the scores that it lacks.

    Parameters
    ----------
    as_of
        The day that it speaks of; None: the last day that the data cover.
    kind
        What is compared: weeks, months or quarters, whole ones up to the day.
    history
        How many earlier period ends are scored where they never were, with the model of today. Days
        that were scored stay as they were said.

    Raises
    ------
    InputError
        The day lies outside the data.
    NotEnoughData
        No whole period lies before it.
    WorkspaceError
        Nothing has been ingested.
    """
    context.workspace.require()
    with context.workspace.locked():
        ledger = context.folded_ledger()
    day = as_of or context.observed_until(ledger)
    context.check_day(ledger, day)
    periods = whole_periods(kind, ledger.first_day_known_by(day), day, A_YEAR[kind] + 2)
    champion = _champion(context)
    horizon = context.horizon(ledger, day).days
    silent = context.settings.churn.silent_days or horizon
    activation = context.settings.churn.activation_days or _ACTIVATION_DAYS
    if champion is not None:
        silent = round(champion.bundle.thresholds.silent_days)
        activation = round(champion.bundle.thresholds.activation_days)
    margin = context.settings.value.margin
    known = Known.read(ledger, day, margin)
    ends = [one.last for one in periods[-(history + 1) :]]
    filled, days = _scored(context, ledger, day, ends, history, champion is not None)
    campaigns = _campaigns(context, day)
    context.say("facts", 0, 1)
    today = days[-1] if days else None
    since = known.first_day + timedelta(days=silent)

    def told(series: Sequence[Series]) -> tuple[Series, ...]:
        return tuple(settled(one, periods, since) for one in series)

    won, before, kept, lost = (
        acquisition(known, periods, horizon),
        journey(known, periods),
        retention(known, periods, silent),
        loss(known, periods, silent),
    )
    began = next((one for one in days if one.day == periods[-1].first - timedelta(days=1)), None)
    contents = Contents(
        context.settings.data.name,
        context.settings.data.currency,
        day,
        periods,
        silent,
        horizon,
        margin,
        known.people.height,
        known.firsts.height,
        ledger.tables,
        trade(known, periods),
        replace(won, series=told(won.series)),
        replace(before, series=told(before.series)),
        told(development(known, periods, silent)),
        replace(kept, series=told(kept.series)),
        replace(lost, series=told(lost.series)),
        observed(known, [one for one in periods if one.last >= since], silent, activation),
        actions(known, horizon, campaigns),
        ()
        if today is None
        else stage_rows(known, today, days[-2] if len(days) > 1 else None, began, periods[-1]),
        flow(days),
        None if today is None else worth(today),
        _predictions(context, ledger, day, horizon, champion),
        None if champion is None else champion.version,
        today is not None and today.hindsight,
        filled,
        read_health(context.workspace.watched, day),
    )
    context.say("facts", 1, 1)
    return contents


def _champion(context: Context) -> _Champion | None:
    registry = context.registry()
    found = registry.champion()
    return None if found is None else _Champion(found.version, registry.load(found))


def _scored(
    context: Context,
    ledger: Ledger,
    day: date,
    ends: list[date],
    history: int,
    there_is_a_model: bool,
) -> tuple[tuple[date, ...], list[Scored]]:
    """Read the scores of the day and of period ends before it, and make those that are missing."""
    key_type: KeyType = ledger.customer_id_type
    workspace = context.workspace
    there = set(scored_days(workspace, key_type))
    filled = []
    if there_is_a_model:
        missing = [end for end in ends if end < day and end not in there] if history else []
        for done, end in enumerate(missing):
            context.say("earlier days", done, len(missing))
            score(context, end, reasons="none", looking_back=True)
            filled.append(end)
        if missing:
            context.say("earlier days", len(missing), len(missing))
        # Of a past day what was said stays as it was said; today's follows the data as they are.
        if day not in there or (day == context.observed_until(ledger) and _stale(context, day)):
            score(context, day)
    there = set(scored_days(workspace, key_type))
    shown = sorted({one for one in (*ends, day) if one in there})
    if not shown or shown[-1] != day:
        return (), []
    return tuple(filled), [Scored.read(scores_path(workspace, key_type, one)) for one in shown]


def _stale(context: Context, day: date) -> bool:
    """Whether a day's scores follow from other data or another model than there are by now.

    In which language they were written, and with which reasons, is nobody's matter here.
    """
    with context.workspace.locked():
        ledger = context.folded_ledger()
    scorer = Scorer.champion(
        context.registry(), context.settings.serving, context.settings.data.sensitive_attributes
    )
    former = FormerStages(context.workspace, ledger.customer_id_type).before(day)
    snapshot = context.snapshot_key(ledger, day)
    reasons: tuple[Reasons, ...] = get_args(Reasons)
    keys = {
        scores_key(scorer, snapshot, how, (language, vocabulary), former)
        for how in reasons
        for language in LANGUAGES
        for vocabulary in VOCABULARIES
    }
    path = scores_path(context.workspace, ledger.customer_id_type, day)
    return stored_key(path) not in keys


def _campaigns(context: Context, day: date) -> tuple[Campaign, ...]:
    found = []
    for plan in KeptPlans(context.workspace.plans).all():
        if plan.as_of < day:
            try:
                told = outcomes(context, plan.campaign, day)
            except LifecycleError:
                # A plan of which nothing can be told yet is no part of what plans brought.
                continue
            found.append(campaign(told.to_dict()))
    return tuple(sorted(found, key=lambda one: one.day))


def _predictions(
    context: Context, ledger: Ledger, day: date, horizon: int, champion: _Champion | None
) -> Predictions | None:
    workspace, key_type = context.workspace, ledger.customer_id_type

    def read(one: date) -> Scored:
        return Scored.read(scores_path(workspace, key_type, one))

    days = scored_days(workspace, key_type)
    found = from_scores(
        days, read, ledger.orders_path, horizon, day,
        ledger.path("contracts"), context.settings.churn.grace_days,
    )  # fmt: skip
    if found is not None or champion is None:
        return found
    file = judged_file(workspace, champion.version)
    if not file.is_file():
        return None
    matured = [one for one in read_contests(file) if one.ends <= day]
    return from_judged(matured, champion.version)
