"""`lifecycle recommend --playbook NEW --diff`: whom an edit moves, before it is live."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import polars as pl

from features.errors import InputError
from features.workspace import replacing
from pipelines.console import Terminal
from pipelines.context import Context, Stopwatch
from pipelines.plan_inputs import capacities, everybody, running
from pipelines.plan_words import money
from pipelines.recommend import Wish
from serving.plan.kept import KeptPlans
from serving.plan.moves import Side, by_action, moved
from serving.plan.offers import Limits, budget_of
from serving.playbook import load_playbook
from serving.scorer import Scorer
from training.stage_rules import load_stage_rules


@dataclass(frozen=True)
class DiffReport:
    """What an edited playbook would do differently.

    Attributes
    ----------
    before, after
        ``customers``, ``cost`` and ``value`` of the best plan by either playbook, each by its own
        beliefs.
    before_by_new
        Value of the live playbook's plan by the new one's beliefs, and ``gone``: how many of it the
        new one would not do, or not find worth their cost.
    actions
        The same by action.
    moves
        Customers by action before and after, the most first.
    moved
        Customers whose action is another.
    """

    as_of: str
    currency: str
    live: str
    new: str
    before: dict[str, float]
    after: dict[str, float]
    before_by_new: dict[str, float]
    actions: list[dict[str, Any]]
    moves: list[dict[str, Any]]
    moved: int
    out: str | None
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def diff(context: Context, wish: Wish, playbook: Path) -> DiffReport:
    """Plan the same day by the live playbook and by another, and compare.

    Nothing is kept but the file of those who move.

    Raises
    ------
    InputError
        The playbook, the budget or the file cannot be, or the day lies outside the data.
    WorkspaceError
        Nothing is ingested or promoted.
    """
    watch = Stopwatch()
    budget = budget_of(wish.budget)
    if wish.out is not None and wish.out.suffix not in {".parquet", ".csv"}:
        raise InputError(f"--out {wish.out} must end in .parquet or .csv")
    sensitive = context.settings.data.sensitive_attributes
    serving = context.settings.serving
    new = load_playbook(playbook, sensitive)
    live = load_playbook(serving.playbook, sensitive)
    context.workspace.require()
    with context.workspace.locked():
        ledger = context.folded_ledger()
        day = wish.as_of or context.observed_until(ledger)
        context.check_day(ledger, day)
        scorer = Scorer.champion(context.registry(), serving, sensitive)
        edited = scorer.ruled_by(new, load_stage_rules(serving.stage_rules))
        before = running(KeptPlans(context.workspace.plans), wish.campaign or f"plan-{day}", day)
        advisers = [(scorer, live), (edited, new)]
        sides = []
        for number, (people, (_, book)) in enumerate(
            zip(everybody(context, ledger, day, advisers, before), advisers, strict=True)
        ):
            limits = Limits(budget, capacities(book, wish.days, day, before))
            sides.append(Side.of(people, limits))
            context.say("planning", number + 1, 2)
    rows = moved(*sides)
    if wish.out is not None:
        with replacing(wish.out) as temporary:
            (rows.write_csv if wish.out.suffix == ".csv" else rows.write_parquet)(temporary)
    value, gone = sides[1].valued(sides[0].chosen)
    return DiffReport(
        day.isoformat(),
        scorer.bundle.currency,
        live.version,
        new.version,
        _totals(sides[0]),
        _totals(sides[1]),
        {"value": value, "gone": gone},
        by_action(*sides),
        rows.group_by("action_before", "action_after")
        .agg(pl.len().alias("customers"))
        .sort("customers", "action_before", "action_after", descending=[True, False, False])
        .to_dicts(),
        rows.height,
        None if wish.out is None else str(wish.out),
        watch.seconds(),
    )


def _totals(side: Side) -> dict[str, float]:
    solution = side.solution
    return {"customers": side.chosen.height, "cost": solution.cost, "value": solution.value}


COLUMNS = (
    "action", "customers", "now", "cost", "now", "net value", "now",
)  # fmt: skip
MOST_MOVES = 12


def show(terminal: Terminal, report: DiffReport) -> None:
    """Print what an edit changes."""
    total = {"action": "all", "before": report.before, "after": report.after}
    rows = [_cells(told) for told in [*report.actions, total]]
    title = f"\nPlan as of {report.as_of} by playbook {report.live}, and by {report.new} now"
    terminal.table(f"{title} ({report.currency})", COLUMNS, rows)
    moves = [
        [f"{one['action_before']} -> {one['action_after']}", f"{one['customers']:,}"]
        for one in report.moves[:MOST_MOVES]
    ]
    if moves:
        terminal.table("", ("who moves", "customers"), moves)
    kept = report.before_by_new
    terminal.note(
        f"{report.moved:,} customers move; by the new playbook's beliefs what is done now is worth "
        f"{money(kept['value'])}, and {kept['gone']:,} of it would not be done or not pay"
        if report.moved or kept["gone"] or report.live != report.new
        else "nobody moves: the playbooks say the same"
    )
    if report.out is not None:
        terminal.note(f"those who move: {report.out}")


def _cells(told: dict[str, Any]) -> list[str]:
    before, after = told["before"], told["after"]
    counts = [f"{before['customers']:,}", f"{after['customers']:,}"]
    return [
        told["action"], *counts, money(before["cost"]), money(after["cost"]),
        money(before["value"]), money(after["value"]),
    ]  # fmt: skip
