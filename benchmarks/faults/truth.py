"""What should have been answered: by the scorer of a version, of the facts of a day."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import msgspec
import numpy as np
import polars as pl

from benchmarks.faults.load import Load, Seen
from benchmarks.faults.shop import Shop
from features.days import day_number
from features.matrix import matrix_of
from features.pushed import PushedRows
from serving.decisions import decision_ids
from serving.decisions.journal import SUFFIX, read_journal
from serving.former_stages import FormerStages
from serving.scorer import Scorer
from training.registry import open_registry

Asked = tuple[int, int, date]
"""A model's version, a customer, and the day of the customer's row."""


@dataclass
class Truth:
    """Answers computed past the endpoint and past the online store."""

    shop: Shop
    known: dict[Asked, dict[str, Any]] = field(default_factory=dict)

    def learn(self, asked: Iterable[Asked]) -> None:
        """Compute what is not known yet."""
        rows = PushedRows(self.shop.workspace, self.shop.settings)
        wanted: dict[date, set[tuple[int, int]]] = {}
        for version, customer, day in set(asked) - set(self.known):
            wanted.setdefault(day, set()).add((version, customer))
        scorers: dict[int, Scorer] = {}
        former = FormerStages(self.shop.workspace, "integer")
        for day, pairs in sorted(wanted.items()):
            table = rows.rows({customer: day for _, customer in pairs})
            for version in sorted({version for version, _ in pairs}):
                if version not in scorers:
                    scorers[version] = self._scorer(version)
                self.known |= _answers(scorers[version], table, day, former)

    def _scorer(self, version: int) -> Scorer:
        registry = open_registry(self.shop.workspace, self.shop.settings)
        return Scorer.of(registry, registry.version(version), self.shop.settings.serving)

    def wrong(self, seen: Seen) -> str:
        """Say what is wrong with an answer of status 200 or 404; nothing where it is right."""
        if seen.status == 404:
            return f"customer {seen.customer} was said to be unknown"
        (answer,) = seen.body["results"]
        day = date.fromisoformat(answer["as_of"])
        if seen.not_before is not None and day < seen.not_before:
            return f"customer {seen.customer}: of {day}, but {seen.not_before} was acknowledged"
        closed = seen.body["features"]["as_of"]
        if seen.customer not in self.shop.pushed and answer["as_of"] != closed:
            return f"customer {seen.customer}: a row of {day} among features of {closed}"
        version = seen.body["versions"]["model"]
        expected = self.known.get((version, seen.customer, day))
        if expected is None:
            return f"customer {seen.customer}: nothing can be known of {day}"
        for name in expected.keys() | answer.keys():
            if expected.get(name) != answer.get(name):
                return (
                    f"customer {seen.customer} of {day} by version {version}: {name} is "
                    f"{answer.get(name)}, not {expected.get(name)}"
                )
        return ""


def asked_of(seen: Seen) -> Asked:
    """Tell what an answer says that it is."""
    (answer,) = seen.body["results"]
    return seen.body["versions"]["model"], seen.customer, date.fromisoformat(answer["as_of"])


def recorded(shop: Shop) -> dict[tuple[str, str], Any]:
    """Read the whole record: the answer by request and decision."""
    folder = shop.workspace.decisions
    read = msgspec.json.decode
    found: dict[tuple[str, str], Any] = {}
    for journal in folder.glob(f"*{SUFFIX}"):
        for one in read_journal(journal):
            for name, answer in zip(one.decision_ids, one.answers, strict=True):
                found[one.request_id, name] = answer
    files = sorted(folder.glob("*/*.parquet"))
    if files:
        rows = pl.scan_parquet(files).select("request_id", "decision_id", "answer").collect()
        for request, name, answer in rows.iter_rows():
            found[request, name] = read(answer)
    return found


def unrecorded(shop: Shop, seen: Iterable[Seen]) -> int:
    """Count the answers that are not in the record as they were given."""
    record = recorded(shop)
    return sum(
        record.get((one.body["request_id"], answer["decision_id"])) != answer
        for one in seen
        if one.status == 200
        for answer in one.body["results"]
    )


def lost_pushes(shop: Shop, load: Load) -> int:
    """Count acknowledged pushes that the log does not have."""
    log = PushedRows(shop.workspace, shop.settings).log
    found = {key: log.find(key) for key in load.acknowledged}
    return sum(push is None or not push.done for push in found.values())


def _answers(
    scorer: Scorer,
    table: Any,  # noqa: ANN401
    day: date,
    former: FormerStages,
) -> dict[Asked, dict[str, Any]]:
    if table is None or not table.num_rows:
        return {}
    matrix = matrix_of(table, scorer.bundle.vocabulary)
    customers = table["customer_id"].to_pylist()
    before = former.of(customers, np.full(len(customers), float(day_number(day))))
    names = decision_ids(scorer.deciders, customers, matrix, before)
    scores = scorer.score(matrix, before=before)
    answers = msgspec.json.decode(msgspec.json.encode(scorer.answers(scores)))
    return {
        (scorer.model_version, customer, day): {
            "customer_id": customer,
            "decision_id": name,
            **answer,
        }
        for customer, name, answer in zip(customers, names, answers, strict=True)
    }
