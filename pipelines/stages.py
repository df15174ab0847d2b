"""`lifecycle stages`: where customers stood, how they move, and where they go next."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import date, timedelta
from typing import Any

import polars as pl

from features.catalogue import JOIN_KEY, KeyType
from features.errors import InputError, WorkspaceError
from features.scores import scored_days, scores_path
from pipelines.console import Terminal
from pipelines.context import Context
from pipelines.score import score
from serving.next_stages import next_stages_file, told_next, write_next_stages
from training.stage_moves import OUTSIDE, Counts, NextStages, dwell, next_stages, stays, transitions
from training.stages import STAGES, stage_labels

MOST_PAIRS = 12
"""Newest pairs of days that the next stage is counted over."""
_THIRDS = ("lower", "middle", "upper")


@dataclass(frozen=True)
class StagesReport:
    """Stages over time.

    Attributes
    ----------
    computed
        Days that were scored for this.
    days
        Days whose scores were looked at.
    moves
        A row a stage at ``since``, and ``entered``: customers, and how many are where at ``as_of``.
    dwell
        How long customers stay, a row a stage of which a stay was seen to begin.
    next
        Where customers are a horizon later, a row a stage and third of it by churn probability.
    customer
        The stages of one, where one was named.
    """

    since: str
    as_of: str
    horizon_days: int
    computed: list[str]
    days: list[str]
    moves: list[dict[str, Any]]
    dwell: list[dict[str, Any]]
    next: list[dict[str, Any]]
    customer: dict[str, Any] | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def stages(
    context: Context,
    customer: str | None = None,
    since: date | None = None,
    as_of: date | None = None,
    every: int | None = None,
) -> StagesReport:
    """Tell how customers moved between two days, how long they stay and where they go next.

    Parameters
    ----------
    since, as_of
        Days that were scored; default: the newest two.
    every
        Score what is missing between the two, every so many days, with today's champion. Days that
        are there already stay as they were said.

    Raises
    ------
    InputError
        A day was not scored, or the customer is in none of the scores.
    WorkspaceError
        Fewer than two days have been scored.
    """
    context.workspace.require()
    key_type = context.ledger().customer_id_type
    computed = _filled(context, key_type, since, as_of, every) if every is not None else []
    days = scored_days(context.workspace, key_type)
    start, end = _between(days, since, as_of)
    days = [day for day in days if day <= end]
    ledger = context.ledger()
    horizon = context.horizon(ledger, end).days

    def of(day: date, *columns: str) -> pl.DataFrame:
        frame = pl.read_parquet(
            scores_path(context.workspace, key_type, day),
            columns=[JOIN_KEY, "lifecycle_stage", *columns],
        )
        place = pl.col("lifecycle_stage").cast(pl.Enum(STAGES)).to_physical().cast(pl.Int8)
        return frame.select(JOIN_KEY, *columns, stage=place)

    pairs = _pairs(days, horizon)
    found = next_stages([(of(a, "churn_probability"), of(b)) for a, b in pairs], horizon)
    if found is not None:
        write_next_stages(next_stages_file(context.workspace.scores), found, end.isoformat())
    followed = stays((day, of(day)) for day in days)
    return StagesReport(
        start.isoformat(),
        end.isoformat(),
        horizon,
        [day.isoformat() for day in computed],
        [day.isoformat() for day in days],
        _moves(transitions(of(start), of(end))),
        [
            asdict(dwell(STAGES[place], rows["days"], rows["ended"], rows["count"]))
            for place in range(len(STAGES))
            if (rows := followed.filter(pl.col("stage") == place)).height
        ],
        [
            {
                "stage": name,
                "churn_probability": _THIRDS[third],
                "customers": int(found.customers[place, third]),
                "stages": told_next(found, place, third),
            }
            for place, name in enumerate(STAGES)
            for third in range(len(_THIRDS))
            if found is not None and found.customers[place, third]
        ]
        if found is not None
        else [],
        _of_customer(context, key_type, customer, days, found) if customer is not None else None,
    )


def _filled(
    context: Context, key_type: KeyType, since: date | None, as_of: date | None, every: int | None
) -> list[date]:
    if since is None or every is None:
        raise InputError("--every needs a day to begin with; give --since")
    end = as_of or context.observed_until(context.ledger())
    there = set(scored_days(context.workspace, key_type))
    wanted = {end - timedelta(days=n) for n in range(0, (end - since).days + 1, every)} | {since}
    missing = sorted(wanted - there)
    for done, day in enumerate(missing):
        context.say("days", done, len(missing))
        score(context, day, reasons="none")
    return missing


def _between(days: list[date], since: date | None, as_of: date | None) -> tuple[date, date]:
    if len(days) < 2:
        raise WorkspaceError(
            f"moves are told between two scored days, and scored are {len(days)}; run `lifecycle "
            "score` for another day, or give --since DAY --every 7"
        )
    end = as_of or days[-1]
    earlier = [day for day in days if day < end]
    start = since or (earlier[-1] if earlier else end)
    for day in (start, end):
        if day not in days:
            raise InputError(
                f"{day} was not scored; scored days are {', '.join(map(str, days[-5:]))}; or give "
                "--since and --every, and what is missing is scored"
            )
    if start >= end:
        raise InputError(f"{start} is not before {end}; choose --since before --as-of")
    return start, end


def _pairs(days: list[date], horizon_days: int) -> list[tuple[date, date]]:
    """Pair days that are a horizon apart, a tenth of it more or less."""
    pairs = []
    for day in days:
        wanted = day + timedelta(days=horizon_days)
        nearest = min(days, key=lambda other: abs((other - wanted).days))
        if abs((nearest - wanted).days) <= max(1, horizon_days // 10):
            pairs.append((day, nearest))
    return pairs[-MOST_PAIRS:]


def _moves(counts: Counts) -> list[dict[str, Any]]:
    names = [*STAGES, "gone"]
    rows = []
    for place, row in enumerate(counts):
        total = int(row.sum())
        if total:
            to = {names[other]: int(row[other]) for other in row.nonzero()[0]}
            stage = "entered" if place == OUTSIDE else STAGES[place]
            rows.append({"stage": stage, "customers": total, "to": to})
    return rows


def _of_customer(
    context: Context, key_type: KeyType, customer: str, days: list[date], found: NextStages | None
) -> dict[str, Any]:
    try:
        key = int(customer) if key_type == "integer" else customer
    except ValueError:
        raise InputError(f"customers are named by numbers here, not {customer!r}") from None
    settings = context.settings.serving
    labels = dict(zip(STAGES, stage_labels(settings.vocabulary, settings.language), strict=True))
    columns = ["as_of", "lifecycle_stage", "stage_rule", "churn_probability", "decision_id"]
    rows = pl.concat(
        pl.scan_parquet(scores_path(context.workspace, key_type, day))
        .filter(pl.col(JOIN_KEY) == key)
        .select(columns)
        for day in days
    ).collect()
    if not rows.height:
        raise InputError(f"customer {customer} is in none of the scores of {len(days)} days")
    history = [
        row | {"as_of": row["as_of"].isoformat(), "label": labels[row["lifecycle_stage"]]}
        for row in rows.iter_rows(named=True)
    ]
    last = history[-1]
    place = STAGES.index(last["lifecycle_stage"])
    ahead = (
        []
        if found is None
        else told_next(found, place, found.third(place, last["churn_probability"]))
    )
    return {"customer_id": key, "history": history, "next": ahead}


def show(terminal: Terminal, report: StagesReport) -> None:
    """Print the report."""
    if report.customer is not None:
        _show_customer(terminal, report)
        return
    columns = [*dict.fromkeys(name for row in report.moves for name in row["to"])]
    ordered = [name for name in (*STAGES, "gone") if name in columns]
    terminal.table(
        f"\nFrom {report.since} to {report.as_of}: customers (share of the stage)",
        ("stage", "customers", *ordered),
        [
            [row["stage"], f"{row['customers']:,}", *(_share(row, name) for name in ordered)]
            for row in report.moves
        ],
    )
    if report.dwell:
        terminal.table(
            f"\nDays in a stage, over {len(report.days)} scored days (90% intervals)",
            ("stage", "stays", "ended", "half left after", "mean", "up to"),
            [_stay(row) for row in report.dwell],
        )
    if report.next:
        terminal.table(
            f"\nWhere customers are {report.horizon_days} days later (90% intervals)",
            ("stage", "churn", "customers", "likeliest", "then"),
            [_ahead(row) for row in report.next],
        )
    else:
        terminal.note(
            f"no two scored days are {report.horizon_days} days apart, so that the next stage is "
            "not known; give --since and --every"
        )


def _show_customer(terminal: Terminal, report: StagesReport) -> None:
    customer = report.customer or {}
    rows: list[list[str]] = []
    former = ""
    for row in customer["history"]:
        if row["lifecycle_stage"] != former:
            former = row["lifecycle_stage"]
            rows.append(
                [row["as_of"], former, f"{row['churn_probability']:.2f}", row["stage_rule"]]
            )
    terminal.table(
        f"\nCustomer {customer['customer_id']} until {report.as_of}",
        ("since", "stage", "churn", "rule"),
        rows,
    )
    for row in customer["next"][:3]:
        terminal.note(f"in {report.horizon_days} days {row['stage']}: {_chance(row)}")


def _share(row: dict[str, Any], name: str) -> str:
    count = row["to"].get(name, 0)
    return f"{count:,} ({count / row['customers']:.0%})" if count else ""


def _stay(row: dict[str, Any]) -> list[str]:
    mean = "too few"
    if row["mean_days"] is not None:
        mean = f"{row['mean_days']:.0f} ({row['mean_low']:.0f} to {row['mean_high']:.0f})"
    half = "" if row["median_days"] is None else f"{row['median_days']:.0f}"
    return [
        row["stage"],
        f"{row['stays']:,}",
        f"{row['ended']:,}",
        half,
        mean,
        f"{row['longest_days']:.0f}",
    ]


def _ahead(row: dict[str, Any]) -> list[str]:
    likely = [f"{one['stage']} {_chance(one)}" for one in row["stages"][:2]]
    return [row["stage"], row["churn_probability"], f"{row['customers']:,}", *likely]


def _chance(row: dict[str, Any]) -> str:
    return f"{row['probability']:.0%} ({row['low']:.0%} to {row['high']:.0%})"
