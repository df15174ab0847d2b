"""`lifecycle recommend`: the best plan for everybody within a budget, with a control group."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl

from features import __version__
from features.errors import InputError
from features.ingest.ledger import Ledger
from features.workspace import replacing
from pipelines.console import Terminal
from pipelines.context import Context, Stopwatch
from pipelines.plan_inputs import capacities, everybody, former_stages, running
from pipelines.plan_page import plan_page
from pipelines.plan_words import (
    ACTION_COLUMNS,
    CONTROL_COLUMNS,
    LEFT_COLUMNS,
    POLICY_COLUMNS,
    action_rows,
    control_rows,
    left_rows,
    policy_rows,
    sentences,
    title,
)
from serving.decisions.archive import keep_file
from serving.deliveries import Deliveries
from serving.exports.mapping import load_mapping
from serving.plan.crm import write_for_crm
from serving.plan.kept import KeptPlan, KeptPlans, checked_campaign
from serving.plan.offers import Limits, budget_of
from serving.plan.planned import Planned, make_plan, plan_table
from serving.plan.summary import summary
from serving.playbook import load_playbook
from serving.scorer import Scorer


@dataclass(frozen=True)
class Wish:
    """What a plan is asked for.

    Attributes
    ----------
    as_of
        Day at whose end everybody is looked at; None takes the last of the data.
    budget
        Expected cost that is not exceeded; None for no limit.
    campaign
        Default: ``plan-DAY``.
    out
        Parquet or CSV file of those to be treated.
    mapping
        Of :mod:`serving.exports`: columns and words of the system that reads ``out``.
    page
        HTML file of the summary; default: beside the plan.
    days
        In how many days the plan is carried out, for the actions' capacities.
    """

    as_of: date | None = None
    budget: float | None = None
    campaign: str | None = None
    out: Path | None = None
    mapping: Path | None = None
    page: Path | None = None
    days: int = 7


@dataclass(frozen=True)
class RecommendReport:
    """What was planned: the summary of :func:`serving.plan.summary.summary`, and where it is.

    Attributes
    ----------
    computed
        Whether the plan was made now; else the same had been before.
    file
        The whole plan, control arm included, in the columns of ``treatments``.
    out
        What was written for those who carry it out.
    """

    campaign: str
    version: int
    as_of: str
    computed: bool
    plan: dict[str, Any]
    file: str
    page: str
    out: str | None
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def recommend(context: Context, wish: Wish) -> RecommendReport:
    """Plan at most one action a customer so that the incremental value is greatest.

    Raises
    ------
    InputError
        The budget, the campaign or a file cannot be, the day lies outside the data, or the campaign
        has been carried out already.
    WorkspaceError
        Nothing is ingested or promoted.
    """
    watch = Stopwatch()
    budget = budget_of(wish.budget)
    mapping = None if wish.mapping is None else load_mapping(wish.mapping)
    if wish.out is not None and mapping is None and wish.out.suffix not in {".parquet", ".csv"}:
        raise InputError(
            f"--out {wish.out} must end in .parquet or .csv; or name a --mapping, which says how "
            "it is written"
        )
    if mapping is not None and wish.out is None:
        raise InputError("--mapping says how --out is written; name a file with --out")
    context.workspace.require()
    with context.workspace.locked():
        ledger = context.folded_ledger()
        day = wish.as_of or context.observed_until(ledger)
        context.check_day(ledger, day)
        campaign = checked_campaign(wish.campaign or f"plan-{day}")
        sensitive = context.settings.data.sensitive_attributes
        scorer = Scorer.champion(context.registry(), context.settings.serving, sensitive)
        playbook = load_playbook(context.settings.serving.playbook, sensitive)
        plans = KeptPlans(context.workspace.plans)
        before = running(plans, campaign, day)
        key = _key(context, ledger, wish, campaign, day, scorer, before)
        kept = plans.newest(campaign)
        fresh = kept is not None and kept.key == key and kept.withdrawn is None
        computed = not (fresh and kept is not None and kept.file.exists())
        if kept is None or computed:
            _refuse_if_carried_out(ledger, campaign)
            for kind, version, file in scorer.files(context.settings.serving):
                keep_file(context.workspace.decisions, kind, version, file.read_bytes())
            (people,) = everybody(context, ledger, day, [(scorer, playbook)], before)
            limits = Limits(budget, capacities(playbook, wish.days, day, before))
            context.say("planning", 0, 1)
            share = context.settings.plan.most_held_out
            made = make_plan(people, limits, campaign, scorer.bundle.terms.margin, share)
            context.say("planning", 1, 1)
            table = plan_table(made, campaign, day)
            now = datetime.now(UTC).isoformat(timespec="microseconds")
            report = _report(made, scorer, campaign, day, wish.days)
            kept = plans.keep(campaign, day, table, key, now, report)
        page = wish.page or kept.file.with_suffix(".html")
        with replacing(page) as temporary:
            temporary.write_text(plan_page(kept.report), encoding="utf-8")
        if wish.out is not None:
            write_for_crm(kept.file, wish.out, mapping)
            Deliveries(context.workspace).note_file("recommend", wish.out, datetime.now(UTC))
    return RecommendReport(
        campaign, kept.version, day.isoformat(), computed, kept.report, str(kept.file), str(page),
        None if wish.out is None else str(wish.out), watch.seconds(),
    )  # fmt: skip


def show(terminal: Terminal, report: RecommendReport) -> None:
    """Print the summary of a plan."""
    plan = report.plan
    terminal.table(f"\n{title(plan)}", ACTION_COLUMNS, action_rows(plan))
    for said in sentences(plan):
        terminal.note(said)
    if plan["chosen"]:
        terminal.table("\nHeld out", CONTROL_COLUMNS, control_rows(plan))
    terminal.table("", POLICY_COLUMNS, policy_rows(plan))
    terminal.table("", LEFT_COLUMNS, left_rows(plan))
    again = "" if report.computed else " (as before)"
    terminal.note(f"\nversion {report.version}{again}: {report.file}; to approve: {report.page}")
    if report.out is not None:
        terminal.note(f"{plan['treated']:,} to be treated in {report.out}")


def _key(
    context: Context,
    ledger: Ledger,
    wish: Wish,
    campaign: str,
    day: date,
    scorer: Scorer,
    before: Sequence[KeptPlan],
) -> str:
    """Name a plan by all that it follows from."""
    former = former_stages(context, ledger, day)
    parts = (
        scorer.deciders,
        context.snapshot_key(ledger, day),
        former.key if former is not None else "",
        *(plan.key for plan in before),
        f"{campaign}, {wish.budget}, {wish.days}, {context.settings.plan.most_held_out}",
        __version__,
    )
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _report(made: Planned, scorer: Scorer, campaign: str, day: date, days: int) -> dict[str, Any]:
    return {
        "campaign": campaign,
        "as_of": day.isoformat(),
        "days": days,
        "horizon_days": scorer.bundle.horizon_days,
        "currency": scorer.bundle.currency,
        "margin": scorer.bundle.terms.margin,
        "model_version": scorer.model_version,
        "playbook_version": scorer.playbook_version,
        **summary(made),
    }


def carried_out(ledger: Ledger, campaign: str) -> int:
    """Count the treatments of a campaign that are ingested."""
    path = ledger.path("treatments")
    if path is None:
        return 0
    rows = pl.scan_parquet(path).filter(pl.col("campaign") == campaign).select(pl.len())
    return int(rows.collect().item())


def _refuse_if_carried_out(ledger: Ledger, campaign: str) -> None:
    """Keep a plan as it was carried out: its outcomes are read by it."""
    done = carried_out(ledger, campaign)
    if done:
        raise InputError(
            f"campaign {campaign} has been carried out ({done:,} of its treatments are ingested), "
            "and what it is planned from has changed since; name another with --campaign"
        )
