"""Some persons' rows taken out of the online store, in every writing of it that there is.

An entity's key is made of the id alone, so its rows are found without a look at anybody else's.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path

from features.catalogue import JOIN_KEY
from features.erasing.sqlite import opened, scrub
from features.online import read_state
from features.persons import Persons
from features.repository import generations, project_name
from features.servers import answering
from features.settings import StoreSettings
from features.workspace import Workspace

_MANY = 500


def erase_online(
    workspace: Workspace, settings: StoreSettings, persons: Persons, scrubbed: bool = True
) -> int:
    """Delete features and scores of some persons; whoever calls holds what is online.

    Parameters
    ----------
    scrubbed
        Whether a file is written anew, so that no free page keeps what was deleted.

    Returns
    -------
    int
        Entities that are gone, counted in each writing.

    Raises
    ------
    ServerError
        Redis does not answer.
    """
    keys = _keys(persons)
    files = sorted(workspace.feast.glob("online*.db"))
    deleted = sum(_from_file(path, keys, scrubbed) for path in files)
    if settings.redis_url is not None:
        deleted += _from_redis(workspace, settings, keys)
    return deleted


def _keys(persons: Persons) -> list[bytes]:
    """Make the keys of Feast: a store may name customers by integers or by text."""
    from features.stores.keys import KeyCodec  # noqa: PLC0415 - brings Feast

    return [
        *KeyCodec.of({JOIN_KEY: "INT64"}).of_values({JOIN_KEY: list(persons.numbers)}),
        *KeyCodec.of({JOIN_KEY: "STRING"}).of_values({JOIN_KEY: list(persons.names)}),
    ]


def _from_file(path: Path, keys: Sequence[bytes], scrubbed: bool) -> int:
    deleted = 0
    with opened(path) as connection:
        for table in _tables(connection):
            for start in range(0, len(keys), _MANY):
                some = keys[start : start + _MANY]
                marks = ", ".join("?" * len(some))
                deleted += connection.execute(
                    f'DELETE FROM "{table}" WHERE entity_key IN ({marks})', some
                ).rowcount
    if scrubbed:
        scrub(path)
    return deleted


def _tables(connection: sqlite3.Connection) -> list[str]:
    """List the tables of rows by entity, the packed store's or Feast's own."""
    return [
        name
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        if any(
            column == "entity_key"
            for _, column, *_ in connection.execute(f'PRAGMA table_info("{name}")')
        )
    ]


def _from_redis(workspace: Workspace, settings: StoreSettings, keys: Sequence[bytes]) -> int:
    import redis  # noqa: PLC0415 - an extra

    project = project_name(workspace, settings)
    state = read_state(workspace)
    written = generations(workspace)
    if state is not None and state.store == "redis":
        written = [*written, state.generation]
    named = [
        f"lifecycle:{project}:{generation}:e:".encode() + key
        for generation in dict.fromkeys(written)
        for key in keys
    ]
    # Feast's own store has a hash a customer.
    named += [key + project.encode() for key in keys]

    def delete() -> int:
        with redis.Redis.from_url(str(settings.redis_url)) as client:
            return sum(
                int(client.delete(*named[start : start + _MANY]))
                for start in range(0, len(named), _MANY)
            )

    return int(answering("stores.redis_url", str(settings.redis_url), delete))
