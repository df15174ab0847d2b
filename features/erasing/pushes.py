"""Some persons' events taken out of the push log; what others pushed stays under its number.

An event of theirs is emptied and not deleted: its number must never be given again, or the event
that gets it would be taken for one that is in the ledger already.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

import sqlalchemy as sa

from features.erasing.sqlite import scrub
from features.forgotten import RULE, Forgotten
from features.persons import Persons
from features.push_log import EVENTS, PUSHES, TOUCHED, PushLog


def erase_pushes(log: PushLog, persons: Persons, forgotten: Forgotten) -> int:
    """Empty the events of some persons, and take their names out of those of others.

    Whoever calls holds the log. A push of theirs alone is forgotten whole; of one that brought
    others' events too, the answer that is kept loses their names, and so does its key.

    Returns
    -------
    int
        Events that were emptied or changed.
    """
    if not log.there():
        return 0
    with log.begin() as connection:
        found = _found(connection, log.project, persons)
        changed = _events(connection, log.project, persons, found)
        _pushes(connection, persons, forgotten, sorted({push_id for _, push_id, _ in found}))
    if log.file is not None:
        # Also when nothing was found: a run that was killed may have left what it deleted.
        scrub(log.file)
    return changed


def _found(connection: sa.Connection, project: str, persons: Persons) -> list[tuple[int, int, str]]:
    """List the events that may name them: number, push and content."""
    touched = sa.select(TOUCHED.c.sequence).where(
        TOUCHED.c.project == project, TOUCHED.c.customer_id.in_(persons.names)
    )
    named = [EVENTS.c.content.contains(name, autoescape=True) for name in persons.distinctive]
    query = sa.select(EVENTS.c.sequence, EVENTS.c.push_id, EVENTS.c.content).where(
        EVENTS.c.project == project, sa.or_(EVENTS.c.sequence.in_(touched), *named)
    )
    return [(row[0], row[1], row[2]) for row in connection.execute(query)]


def _events(
    connection: sa.Connection,
    project: str,
    persons: Persons,
    found: Sequence[tuple[int, int, str]],
) -> int:
    changed = 0
    for sequence, _, content in found:
        values = _left(content, persons)
        if values is not None:
            connection.execute(EVENTS.update().where(EVENTS.c.sequence == sequence).values(values))
            changed += 1
    connection.execute(
        TOUCHED.delete().where(
            TOUCHED.c.project == project, TOUCHED.c.customer_id.in_(persons.names)
        )
    )
    return changed


def _left(content: str, persons: Persons) -> dict[str, str] | None:
    """What is left of an event; None where nothing of it changes."""
    event = json.loads(content)
    if not event:
        return None
    if event.get("customer_id") in persons.names:
        return {"name": RULE, "content": "{}"}
    told = {
        key: persons.unnamed(value)
        if isinstance(value, str) and key not in ("customer_id", "referred_by")
        else value
        for key, value in event.items()
    }
    if told.get("referred_by") in persons.names:
        told["referred_by"] = None
    return None if told == event else {"content": json.dumps(told, sort_keys=True)}


def _pushes(
    connection: sa.Connection, persons: Persons, forgotten: Forgotten, pushes: Sequence[int]
) -> None:
    words = [re.compile(rf"(?<!\w){re.escape(name)}(?!\w)") for name in persons.names]
    for push_id in pushes:
        mine = PUSHES.c.push_id == push_id
        others = sa.select(EVENTS.c.sequence).where(
            EVENTS.c.push_id == push_id, EVENTS.c.name != RULE
        )
        if connection.execute(others.limit(1)).first() is None:
            connection.execute(PUSHES.delete().where(mine))
            continue
        key, answer = connection.execute(
            sa.select(PUSHES.c.idempotency_key, PUSHES.c.answer).where(mine)
        ).one()
        values = {"answer": _unnamed_answer(answer, persons)}
        if any(word.search(key) for word in words):
            values["idempotency_key"] = forgotten.keyed(key)
        connection.execute(PUSHES.update().where(mine).values(values))


def _unnamed_answer(answer: str, persons: Persons) -> str:
    told = json.loads(answer)
    told["customers"] = [
        one for one in told["customers"] if str(one["customer_id"]) not in persons.names
    ]
    told["idempotency_key"] = persons.struck(told["idempotency_key"])
    return json.dumps(told)
