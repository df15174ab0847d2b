"""Packed rows in Redis: a hash for each entity, a field for each view.

All views of an entity are fields of one hash, so that one lookup reads them. Keys are named
``<key_prefix>:<project>:<generation>:...``; nothing else in the database is ever touched.

A materialisation is *staged*: its rows go into fields of their own, which nobody reads. When all
are there, one command makes the stage *active*, and from then on every reader takes the younger of
a staged row and the one beside it. So readers see all of it, in every view, or nothing. What is
left, to put the staged rows in place, changes no answer. A process that dies before that one
command leaves what was there; one that dies after it leaves the new rows, and the next
materialisation finishes the tidying. What a dead one staged is removed by the next one too.

Staging writes every row twice. Where nobody reads yet, as in a new generation, ``stage_writes:
false`` writes once.

``feature_store.yaml``::

    online_store:
      type: features.stores.packed_redis.PackedRedisOnlineStore
      connection_string: localhost:6379,db=0
      generation: "1"

A new generation costs nothing until it is written; :func:`delete_generation` removes an old one
bit by bit. Redis Cluster is not supported: an entity's hash and the active stage are read in one
script.
"""

from __future__ import annotations

import json
import os
import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

from feast import Entity, FeatureView, RepoConfig
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.repo_config import FeastConfigBaseModel
from pydantic import Field, StrictStr
from redis import ConnectionError as Disconnected
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from features.servers import SECONDS
from features.stores.keys import holds, key_of
from features.stores.online import PackedOnlineStore, View
from features.stores.redis_scripts import CLEAR, DROP, FINISH, READ, WRITE
from features.stores.schema import RowSchema

Client = Any
"""A ``redis.Redis``, whose annotations answer for its asynchronous twin too."""

_KEYS_PER_READ = 1_000
_KEYS_PER_WRITE = 200
_KEYS_PER_SCAN = 1_000
_ALIVE_SECONDS = 900
_SAFE_NAME = r"^[A-Za-z0-9_.-]+$"


class PackedRedisOnlineStoreConfig(FeastConfigBaseModel):  # type: ignore[misc] # Feast is untyped
    """Settings of the packed Redis store."""

    type: Literal["features.stores.packed_redis.PackedRedisOnlineStore"] = (
        "features.stores.packed_redis.PackedRedisOnlineStore"
    )
    """Names the store, as Feast wants it."""

    connection_string: StrictStr = "localhost:6379"
    """``host:port,parameter=value,...``, as for Feast's Redis store: db, password, ssl ..."""

    key_prefix: StrictStr = Field(default="packed", pattern=_SAFE_NAME)
    """What every key begins with."""

    generation: StrictStr = Field(default="0", pattern=_SAFE_NAME)
    """Which edition of all rows is read and written."""

    stage_writes: bool = True
    """Whether readers are kept from seeing a materialisation before all of it is there."""


class PackedRedisOnlineStore(PackedOnlineStore):
    """Feast's online store over packed rows in Redis; safe to be used by many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._client: Client = None
        self._process = 0
        self._schemas: dict[bytes, RowSchema] = {}

    @contextmanager
    def writing(self, config: RepoConfig, views: Sequence[View]) -> Iterator[_RedisWriter]:
        """Stage rows and make them all active at the end; see :meth:`PackedOnlineStore.writing`."""
        client = self.client(config)
        space = _Space.of(config)
        self._keep_schemas(client, space, views)
        if not config.online_store.stage_writes:
            yield _RedisWriter(client, space, "")
            return
        stage = uuid.uuid4().hex[:12]
        client.set(space.alive(stage), 1, ex=_ALIVE_SECONDS)
        client.hset(space.stages, stage, "writing")
        try:
            yield _RedisWriter(client, space, stage)
            _activate(client, space, stage)
        finally:
            # What is left of the stage is now for the next materialisation to remove.
            client.delete(space.alive(stage))

    def write_rows(
        self,
        config: RepoConfig,
        view: View,
        keys: Sequence[bytes],
        rows: Sequence[bytes],
    ) -> None:
        """Write some rows at once, without a stage: each entity's are seen when they are there."""
        client, space = self.client(config), _Space.of(config)
        self._keep_schemas(client, space, [view])
        _RedisWriter(client, space, "").write(keys, {view.name: rows})

    def fetch(
        self,
        config: RepoConfig,
        views: Sequence[View],
        keys: Sequence[bytes],
    ) -> list[list[bytes | None]]:
        """Read packed rows; see :meth:`PackedOnlineStore.fetch`."""
        client, space = self.client(config), _Space.of(config)
        names = [view.name.encode() for view in views]
        blobs: list[list[bytes | None]] = [[] for _ in views]
        for start in range(0, len(keys), _KEYS_PER_READ):
            asked = map(space.entities.__add__, keys[start : start + _KEYS_PER_READ])
            answer = _run(client, READ, [space.stages, *asked], names)
            for place, view in enumerate(blobs):
                view.extend(answer[place])
        return blobs

    def schema_of(self, config: RepoConfig, head: bytes) -> RowSchema | None:
        """Find a schema among those that rows were written by."""
        if head not in self._schemas:
            found = self.client(config).hget(_Space.of(config).schemas, head)
            if found is None:
                return None
            self._schemas[head] = RowSchema.from_json(found)
        return self._schemas[head]

    def update(
        self,
        config: RepoConfig,
        tables_to_delete: Sequence[FeatureView],
        tables_to_keep: Sequence[FeatureView],
        entities_to_delete: Sequence[Entity],
        entities_to_keep: Sequence[Entity],
        partial: bool,
    ) -> None:
        """Remove all rows of views that are gone; new views need no room made."""
        if not tables_to_delete:
            return
        client, space = self.client(config), _Space.of(config)
        names = [self.view_name(config, table).encode() for table in tables_to_delete]
        for keys in space.scan(client):
            _run(client, DROP, keys, names)

    def teardown(
        self, config: RepoConfig, tables: Sequence[FeatureView], entities: Sequence[Entity]
    ) -> None:
        """Delete every key of the project's generation."""
        for _ in delete_generation(config):
            pass

    def delete_entity(self, config: RepoConfig, join_keys: Mapping[str, Value]) -> int:
        """Forget an entity; see :meth:`PackedOnlineStore.delete_entity`.

        Every entity of the generation is looked at, for some may have further join keys.
        """
        client, space = self.client(config), _Space.of(config)
        names = sorted(join_keys)
        own = key_of(EntityKey(join_keys=names, entity_values=[join_keys[n] for n in names]))
        deleted = int(client.unlink(space.entities + own))
        for keys in space.scan(client):
            found = [key for key in keys if holds(key[len(space.entities) :], join_keys)]
            if found:
                deleted += int(client.unlink(*found))
        return deleted

    def _keep_schemas(self, client: Client, space: _Space, views: Sequence[View]) -> None:
        """Store the schemas before the first row that needs them."""
        kept = {view.schema.head: view.schema.to_json() for view in views}
        if kept:
            client.hset(space.schemas, mapping=kept)

    def disconnect(self) -> None:
        """Close the connections of all threads."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def client(self, config: RepoConfig) -> Client:
        """Give the client, which threads share."""
        # Connections must not be carried into a forked process.
        if self._client is None or self._process != os.getpid():
            with self._lock:
                if self._client is None or self._process != os.getpid():
                    self._client = connect(config.online_store.connection_string)
                    self._process = os.getpid()
        return self._client


class _Space:
    """The keys of one project's generation."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.entities = f"{prefix}:e:".encode()
        self.stages = f"{prefix}:stages"
        self.schemas = f"{prefix}:schemas"

    @classmethod
    def of(cls, config: RepoConfig) -> _Space:
        settings = config.online_store
        return cls(f"{settings.key_prefix}:{config.project}:{settings.generation}")

    def alive(self, stage: str) -> str:
        """Name the key that exists while a stage is being written."""
        return f"{self.prefix}:alive:{stage}"

    def scan(self, client: Client, everything: bool = False) -> Iterator[list[bytes]]:
        """List the entities' keys, or all keys, some at a time."""
        wanted = f"{self.prefix}:" if everything else self.entities.decode()
        cursor = 0
        while True:
            # The names are checked to hold nothing that a pattern would read as its own.
            cursor, keys = client.scan(cursor, match=f"{wanted}*", count=_KEYS_PER_SCAN)
            if keys:
                yield keys
            if not cursor:
                return


class _RedisWriter:
    """Writes rows, into a stage if it has a name."""

    def __init__(self, client: Client, space: _Space, stage: str) -> None:
        self._client = client
        self._space = space
        self._stage = stage

    def write(self, keys: Sequence[bytes], rows: Mapping[str, Sequence[bytes]]) -> None:
        """Write rows by view; an older row than the stored one changes nothing."""
        head = [self._stage.encode(), str(len(rows)).encode(), *(view.encode() for view in rows)]
        columns = list(rows.values())
        with self._client.pipeline(transaction=False) as pipe:
            if self._stage:
                pipe.set(self._space.alive(self._stage), 1, ex=_ALIVE_SECONDS)
            for start in range(0, len(keys), _KEYS_PER_WRITE):
                part = slice(start, start + _KEYS_PER_WRITE)
                named = [self._space.entities + key for key in keys[part]]
                by_entity = zip(*(column[part] for column in columns), strict=True)
                blobs = [blob for row in by_entity for blob in row]
                pipe.eval(WRITE, 1 + len(named), self._space.stages, *named, *head, *blobs)
            pipe.execute()


def connect(connection_string: str) -> Client:
    """Open a client from what Feast calls a connection string.

    >>> client = connect("cache.internal:6380,db=2,ssl=true")
    >>> client.connection_pool.connection_kwargs["db"]
    2

    Raises
    ------
    ValueError
        It names no server, or several.
    """
    parts = [part.strip() for part in connection_string.split(",")]
    servers = [part for part in parts if "=" not in part]
    if len(servers) != 1 or ":" not in servers[0]:
        raise ValueError(
            f"connection_string {connection_string!r} names {len(servers)} servers; "
            "give one, as host:port,parameter=value"
        )
    host, _, port = servers[0].rpartition(":")
    options = dict(part.split("=", 1) for part in parts if "=" in part)
    return Redis(
        host=host, port=int(port), **(_patience() | {n: _option(v) for n, v in options.items()})
    )


def _patience() -> dict[str, Any]:
    """How long a server is waited for: whoever asks has somebody waiting, and can ask again.

    A connection that a restart has cut is opened anew at once; a server that is away is not asked
    three times with pauses, and one that says nothing is not waited for until the end of time.
    """
    return {
        "socket_timeout": SECONDS,
        "socket_connect_timeout": SECONDS,
        "retry": Retry(NoBackoff(), 1, (Disconnected,)),
    }


def _option(text: str) -> Any:  # noqa: ANN401
    """Read a number or a truth value; everything else is text, as a password is."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def delete_generation(config: RepoConfig, generation: str | None = None) -> Iterator[int]:
    """Delete all keys of a generation, giving after each batch how many have gone.

    Parameters
    ----------
    config
        The repository's configuration.
    generation
        Which one; the configuration's own if it is not given.
    """
    chosen = generation or config.online_store.generation
    space = _Space(f"{config.online_store.key_prefix}:{config.project}:{chosen}")
    client = connect(config.online_store.connection_string)
    deleted = 0
    try:
        for keys in space.scan(client, everything=True):
            deleted += int(client.unlink(*keys))
            yield deleted
    finally:
        client.close()


def _run(client: Client, script: str, keys: Sequence[Any], arguments: Sequence[Any]) -> Any:  # noqa: ANN401
    return client.eval(script, len(keys), *keys, *arguments)


def _activate(client: Client, space: _Space, stage: str) -> None:
    """Make a stage what readers see, and put its rows in place."""
    while not client.hsetnx(space.stages, "active", stage):
        # Another materialisation's rows are still being put in place, or it died doing so.
        _settle(client, space)
    _settle(client, space)


def _settle(client: Client, space: _Space) -> None:
    """Put the active stage's rows in place and remove what dead processes staged."""
    names = {name.decode(): value for name, value in client.hgetall(space.stages).items()}
    active = names.pop("active", b"").decode()
    dead = [n for n in names if n != active and not client.exists(space.alive(n))]
    for keys in space.scan(client):
        _run(client, CLEAR, keys, [active, *dead])
    _run(client, FINISH, [space.stages], [active, *dead])
