"""One customer: what they did, what was said of them day by day, and what is worth doing now."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

import polars as pl
import pyarrow as pa

from features.catalogue import JOIN_KEY, KeyType
from features.days import day_of
from features.errors import InputError
from features.ingest.ledger import Ledger
from features.matrix import matrix_of
from features.scores import scored_days, scores_path
from pipelines.context import Context
from pipelines.report.known import Known
from pipelines.report.periods import Period, whole_periods
from pipelines.score import score
from serving.former_stages import FormerStages
from serving.next_stages import next_stages_file, read_next_stages, told_next
from serving.scorer import Scorer
from serving.sentences import Language
from training.stages import STAGES

MOST_EVENTS = 40
MOST_MONTHS = 24
_SAID = (
    "lifecycle_stage", "churn_probability", "expected_spend", "spend_lower", "spend_upper",
    "clv_12m", "clv_12m_lower", "clv_12m_upper", "action", "model_version", "flags",
)  # fmt: skip


@dataclass(frozen=True)
class Event:
    """Something that happened, newest first in a list.

    Attributes
    ----------
    kind
        ``order``, ``return``, ``treated``, ``withheld``, or the kind of an interaction.
    amount
        Of an order or a return; None of others.
    about
        Categories, a topic, or the action of a treatment.
    """

    day: date
    kind: str
    amount: float | None
    about: str


@dataclass(frozen=True)
class Said:
    """What was said of the customer on a scored day; the numbers of :data:`_SAID`."""

    day: date
    stage: str
    churn: float
    spend: tuple[float, float, float]
    value: tuple[float, float, float]
    action: str
    model_version: int
    hindsight: bool


@dataclass(frozen=True)
class Customer:
    """All that is known and said of one customer on a day.

    Attributes
    ----------
    answer
        As the endpoint gives it, with exact reasons and the three best actions.
    months
        Net sales by month, oldest first, whole months.
    said
        By scored day, oldest first.
    next
        Where customers like this one are a horizon later, if ``lifecycle stages`` has counted it.
    """

    key: int | str
    day: date
    currency: str
    horizon_days: int
    answer: dict[str, Any]
    months: tuple[tuple[Period, float], ...]
    events: tuple[Event, ...]
    more_events: int
    said: tuple[Said, ...]
    next: tuple[dict[str, Any], ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "customer_id": self.key,
            "as_of": self.day.isoformat(),
            "answer": self.answer,
            "months": {period.key: net for period, net in self.months},
            "events": [
                {"day": one.day.isoformat(), "kind": one.kind, "amount": one.amount,
                 "about": one.about}
                for one in self.events
            ],
            "said": [
                {"day": one.day.isoformat(), "stage": one.stage, "churn_probability": one.churn,
                 "expected_spend": one.spend, "clv_12m": one.value, "action": one.action,
                 "model_version": one.model_version, "in_sample": one.hindsight}
                for one in self.said
            ],
            "next": list(self.next),
        }  # fmt: skip


def look_at(context: Context, named: str, as_of: date | None, language: Language) -> Customer:
    """Look at a customer, by their id.

    Raises
    ------
    InputError
        Nobody of that name is known on the day, or the day lies outside the data.
    WorkspaceError
        No model has been promoted.
    """
    context.workspace.require()
    with context.workspace.locked():
        ledger = context.folded_ledger()
    day = as_of or context.observed_until(ledger)
    context.check_day(ledger, day)
    key_type: KeyType = ledger.customer_id_type
    key = _key(named, key_type)
    if day not in scored_days(context.workspace, key_type):
        score(context, day)
    scorer = Scorer.champion(
        context.registry(), context.settings.serving, context.settings.data.sensitive_attributes
    )
    known = Known.read(ledger, day, context.settings.value.margin)
    if not (known.people[JOIN_KEY] == key).any():
        raise InputError(
            f"no customer {named} is known on {day}; check the id, or name a later day"
        )
    answer = _answer(context, ledger, scorer, key, day, language)
    events = _events(known, key)
    return Customer(
        key,
        day,
        scorer.bundle.currency,
        scorer.bundle.horizon_days,
        answer,
        _months(known, key),
        events[:MOST_EVENTS],
        max(len(events) - MOST_EVENTS, 0),
        _said(context, key_type, key, day),
        _next(context, answer),
    )


def _key(named: str, key_type: KeyType) -> int | str:
    if key_type == "text":
        return named
    try:
        return int(named)
    except ValueError:
        raise InputError(f"customers are named by numbers here, not {named!r}") from None


def _answer(
    context: Context, ledger: Ledger, scorer: Scorer, key: int | str, day: date, language: Language
) -> dict[str, Any]:
    with context.workspace.locked():
        context.snapshots(ledger, [day])
        facts = context.store(ledger).historical(pa.array([key]), day)
    matrix = matrix_of(facts, scorer.bundle.vocabulary)
    former = FormerStages(context.workspace, ledger.customer_id_type).before(day)
    before = None if former is None else former.of([key])
    scores = scorer.score(matrix, reasons="exact", language=language, before=before)
    (answer,) = scorer.answers(scores, context.settings.serving.vocabulary)
    return answer


def _events(known: Known, key: int | str) -> tuple[Event, ...]:
    mine = pl.col(JOIN_KEY) == key
    categories = (
        known.lines.filter(mine)
        .group_by("event_day")
        .agg(about=pl.col("category").unique().sort())
        .collect()
    )
    about = {day: ", ".join(names[:3]) for day, names in categories.rows()}
    events = [
        Event(day_of(day), "order" if net > 0 else "return", net, about.get(day, ""))
        for day, net in known.orders.filter(mine).select("event_day", "net").rows()
    ]
    if known.interactions is not None:
        rows = known.interactions.filter(mine).select("event_day", "kind", "topic").collect()
        events += [Event(day_of(day), kind, None, topic or "") for day, kind, topic in rows.rows()]
    if known.treatments is not None:
        treated = known.treatments.filter(mine).select("event_day", "arm", "action")
        events += [
            Event(day_of(day), "treated" if arm == "treated" else "withheld", None, action)
            for day, arm, action in treated.rows()
        ]
    return tuple(sorted(events, key=lambda one: one.day, reverse=True))


def _months(known: Known, key: int | str) -> tuple[tuple[Period, float], ...]:
    periods = whole_periods("month", known.first_day.replace(day=1), known.as_of, MOST_MONTHS)
    mine = known.within(known.orders.filter(pl.col(JOIN_KEY) == key), periods)
    sums = dict(mine.group_by("period").agg(pl.col("net").sum()).rows())
    return tuple((period, sums.get(place, 0.0)) for place, period in enumerate(periods))


def _said(context: Context, key_type: KeyType, key: int | str, day: date) -> tuple[Said, ...]:
    found = []
    for one in scored_days(context.workspace, key_type):
        if one > day:
            continue
        path = scores_path(context.workspace, key_type, one)
        rows = pl.scan_parquet(path).filter(pl.col(JOIN_KEY) == key).select(_SAID).collect()
        for row in rows.iter_rows(named=True):
            found.append(
                Said(
                    one,
                    row["lifecycle_stage"],
                    row["churn_probability"],
                    (row["expected_spend"], row["spend_lower"], row["spend_upper"]),
                    (row["clv_12m"], row["clv_12m_lower"], row["clv_12m_upper"]),
                    row["action"],
                    row["model_version"],
                    "in_sample" in row["flags"],
                )
            )
    return tuple(found)


def _next(context: Context, answer: dict[str, Any]) -> tuple[dict[str, Any], ...]:
    kept = read_next_stages(next_stages_file(context.workspace.scores))
    if kept is None:
        return ()
    found, _ = kept
    stage = STAGES.index(answer["lifecycle_stage"])
    return tuple(told_next(found, stage, found.third(stage, answer["churn_probability"])))
