"""`lifecycle push`: take events as they arrive."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from features.errors import InputError
from features.ingest.contract import Table
from features.push import MOST_EVENTS, Pusher, PushReport
from pipelines.context import Context

MOST_REJECTED_SHOWN = 5


@dataclass(frozen=True)
class PushesReport:
    """What became of the events of some files."""

    pushes: list[PushReport]

    def sentences(self) -> list[str]:
        """Say it in plain English."""
        said = []
        for push in self.pushes:
            again = " (there already: nothing changed)" if push.repeated else ""
            said.append(
                f"{push.accepted} {push.table} accepted{again}, {len(push.rejected)} rejected"
            )
            said += [
                f"  row {one.row}: {one.reason}; {one.remedy}"
                for one in push.rejected[:MOST_REJECTED_SHOWN]
            ]
            days = sorted({one.as_of for one in push.customers if one.as_of is not None})
            if days:
                span = days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"
                said.append(f"  {len(push.customers)} customers are online as of {span}")
        return said

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"pushes": [push.to_dict() for push in self.pushes]}


def push(
    context: Context, files: Sequence[tuple[Table, Path]], idempotency_key: str | None
) -> PushesReport:
    """Take the events of some files of JSON, one object a line; ``-`` is standard input.

    Raises
    ------
    InputError
        A file is not what it should be; events before the offending line may have been taken.
    """
    context.ledger()
    pusher = Pusher(context.workspace, context.settings)
    today = datetime.now(UTC).date()
    reports = []
    for table, path in files:
        for place, rows in enumerate(_batches(path)):
            key = idempotency_key and f"{idempotency_key}-{table}-{place}"
            reports.append(pusher.push(table, rows, today, key))
            context.say(f"pushing {table}", place + 1, place + 1)
    if not reports:
        raise InputError("there is no event to push; name a file, as in --orders events.jsonl")
    return PushesReport(reports)


def _batches(path: Path) -> Iterator[list[dict[str, Any]]]:
    rows = []
    for number, line in enumerate(_lines(path), 1):
        if not line.strip():
            continue
        try:
            rows.append(msgspec.json.decode(line, type=dict[str, Any]))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise InputError(
                f"{path}, line {number} is no JSON object ({error}); write one event a line, as "
                '{"customer_id": 1, ...}'
            ) from None
        if len(rows) == MOST_EVENTS:
            yield rows
            rows = []
    if rows:
        yield rows


def _lines(path: Path) -> Iterator[bytes]:
    if str(path) == "-":
        yield from sys.stdin.buffer
        return
    with path.open("rb") as file:
        yield from file
