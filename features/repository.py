"""The workspace's Feast repository: what Feast is told, in memory and in its own files.

``feature_store.yaml`` always says what is really used, so that the ``feast`` command works in the
folder. Passwords are not in it: Feast reads them from the variables that stand in their place.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import sqlalchemy as sa
import yaml

from features.catalogue import KeyType
from features.online import OnlineState
from features.scores import scores_folder
from features.servers import SECONDS, answering, password_of, with_variable
from features.settings import StoreSettings
from features.workspace import Workspace, read_json, replacing, write_json

REDIS_PASSWORD = "FEAST_REDIS_PASSWORD"
REGISTRY_PASSWORD = "FEAST_REGISTRY_PASSWORD"

_MADE: set[str] = set()
"""Registries on servers whose tables this process has seen to: of the last 128 engines that asked
PostgreSQL for its tables SQLAlchemy keeps some 80 kB each."""

_PROJECT_FILE = "project"
_GENERATIONS = "generations.json"
_DEFINITIONS = '''"""What `feast apply` finds in this repository; written by lifecycle."""

from pathlib import Path

from features.views import definitions

_ROOT = Path(__file__).parent.parent.resolve()
globals().update(definitions(_ROOT / {folder!r}, {key_type!r}, {offline!r}, _ROOT / {scores!r}))
'''


def project_name(workspace: Workspace, settings: StoreSettings) -> str:
    """Name the workspace on servers that it shares with others: by the setting, or by itself."""
    if settings.project is not None:
        return settings.project
    path = workspace.feast / _PROJECT_FILE
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{_PROJECT_FILE}.{uuid.uuid4().hex}")
        temporary.write_text(f"lifecycle_{uuid.uuid4().hex[:12]}", encoding="utf-8")
        # Of two that open a new workspace at once, the first gives the name.
        with suppress(FileExistsError):
            os.link(temporary, path)
        temporary.unlink()
    return path.read_text(encoding="utf-8")


def generations(workspace: Workspace) -> list[str]:
    """List the writings of the online store that may be in Redis."""
    listed: list[str] = read_json(workspace.feast / _GENERATIONS) or []
    return listed


@dataclass(frozen=True)
class Repository:
    """Feast's settings for one workspace, and one schema of its snapshots."""

    workspace: Workspace
    snapshots: Path
    key_type: KeyType
    settings: StoreSettings

    @property
    def project(self) -> str:
        """Feast's name of the workspace."""
        return project_name(self.workspace, self.settings)

    @property
    def scores(self) -> Path:
        """The folder of the days' scores, absolute."""
        return scores_folder(self.workspace, self.key_type).resolve()

    def open(self, state: OnlineState | None, *, fresh: bool = False) -> Any:  # noqa: ANN401 - Feast is untyped
        """Open Feast over what is online.

        Parameters
        ----------
        fresh
            Whether nobody reads there yet.

        Raises
        ------
        ServerError
            A server that the settings name does not answer.
        """
        import feast  # noqa: PLC0415 - takes seconds, and most verbs never need it

        self._ask_servers()
        config = self._config(state, secret=True, fresh=fresh)
        url = config["registry"]["path"]
        if url in _MADE:
            config["registry"]["schema_mode"] = "skip"
        repository = feast.RepoConfig(repo_path=self.workspace.feast.resolve(), **config)
        store = feast.FeatureStore(config=repository)
        if not url.startswith("sqlite") and store.registry:
            _MADE.add(url)
        return store

    def write(self, state: OnlineState | None) -> None:
        """Keep the files that the ``feast`` command reads in step with what is online."""
        root = self.workspace.root.resolve()
        contents = {
            "feature_store.yaml": yaml.safe_dump(self._config(state), sort_keys=False),
            "definitions.py": _DEFINITIONS.format(
                folder=self.snapshots.relative_to(root).as_posix(),
                scores=self.scores.relative_to(root).as_posix(),
                key_type=self.key_type,
                offline=self.settings.offline,
            ),
        }
        for name, content in contents.items():
            path = self.workspace.feast / name
            if not path.exists() or path.read_text(encoding="utf-8") != content:
                with replacing(path) as temporary:
                    temporary.write_text(content, encoding="utf-8")

    def begin(self, state: OnlineState) -> Any:  # noqa: ANN401 - Feast is untyped
        """Open Feast over a new writing of the online store, which nobody reads yet."""
        if self.settings.online == "redis":
            listed = [*generations(self.workspace), state.generation]
            write_json(self.workspace.feast / _GENERATIONS, listed)
        return self.open(state, fresh=True)

    def delete_generations(self, keep: Sequence[OnlineState | None]) -> None:
        """Delete former writings of the online store, and what killed runs left of one."""
        kept = [state for state in keep if state is not None]
        for path in self.workspace.feast.glob("online*.db*"):
            if not any(path.name.startswith(state.file) for state in kept):
                path.unlink(missing_ok=True)
        if self.settings.online == "redis":
            self._delete_from_redis([state.generation for state in kept])

    def _delete_from_redis(self, keep: list[str]) -> None:
        import feast  # noqa: PLC0415

        from features.stores.packed_redis import delete_generation  # noqa: PLC0415 - an extra

        config = feast.RepoConfig(
            repo_path=self.workspace.feast.resolve(), **self._config(None, secret=True)
        )
        listed = generations(self.workspace)
        for generation in set(listed) - set(keep):
            # Some keys at a time, so that no reader waits for long.
            for _ in delete_generation(config, generation):
                pass
        write_json(self.workspace.feast / _GENERATIONS, [g for g in listed if g in keep])

    def _config(
        self, state: OnlineState | None, *, secret: bool = False, fresh: bool = False
    ) -> dict[str, Any]:
        config = {
            "project": self.project,
            "provider": "local",
            "registry": self._registry(secret=secret),
            "offline_store": self._offline(),
            "online_store": self._online(state, secret=secret, fresh=fresh),
            "entity_key_serialization_version": 3,
        }
        if not self.settings.online.startswith("stock"):
            config["batch_engine"] = {"type": "features.stores.engine.PackedComputeEngine"}
        return config

    def _registry(self, *, secret: bool) -> dict[str, Any]:
        url = self.settings.registry
        if url is None:
            url = f"sqlite:///{self.workspace.feast.resolve() / 'registry.db'}"
        kwargs: dict[str, Any] = {"echo": False}
        on_server = not url.startswith("sqlite")
        if on_server:
            kwargs["connect_args"] = {"connect_timeout": SECONDS}
        if secret:
            # Feast never closes its pool; a verb needs the registry a few times, in a row.
            kwargs["poolclass"] = sa.NullPool
        elif on_server:
            kwargs["pool_pre_ping"] = True
        return {
            "registry_type": "sql",
            "path": url if secret else with_variable(url, REGISTRY_PASSWORD),
            "cache_ttl_seconds": 0,
            "sqlalchemy_config_kwargs": kwargs,
        }

    def _offline(self) -> dict[str, Any]:
        if self.settings.offline == "spark":
            conf = {"spark.sql.session.timeZone": "UTC", "spark.ui.enabled": "false"}
            return {"type": "spark", "spark_conf": conf | self.settings.spark_conf}
        if self.settings.offline == "duckdb":
            return {"type": "duckdb"}
        return {"type": "features.stores.snapshots_offline.SnapshotOfflineStore"}

    def _online(self, state: OnlineState | None, *, secret: bool, fresh: bool) -> dict[str, Any]:
        name = state.file if state is not None else "online.db"
        path = {"path": str(self.workspace.feast.resolve() / name)}
        connection = {"connection_string": _connection_string(self.redis_url, secret=secret)}
        kind = self.settings.online
        if kind == "sqlite":
            return {"type": "features.stores.packed_sqlite.PackedSQLiteOnlineStore", **path}
        if kind == "stock-sqlite":
            return {"type": "sqlite", **path}
        if kind == "stock-redis":
            # Feast would ignore a correction of the same day; here the order of writing decides.
            return {"type": "redis", **connection, "skip_dedup": True}
        return {
            "type": "features.stores.packed_redis.PackedRedisOnlineStore",
            **connection,
            "key_prefix": "lifecycle",
            "generation": state.generation if state is not None else "none",
            **({"stage_writes": False} if fresh else {}),
        }

    @property
    def redis_url(self) -> str:
        """The address of the Redis that the settings name."""
        return self.settings.redis_url or ""

    def _ask_servers(self) -> None:
        if self.settings.online.endswith("redis"):
            answering("stores.redis_url", self.redis_url, self._ping)
        registry = self.settings.registry
        if registry is not None and not registry.startswith("sqlite"):
            answering("stores.registry", registry, lambda: _connect(registry))

    def _ping(self) -> None:
        import redis  # noqa: PLC0415 - an extra

        with redis.Redis.from_url(
            self.redis_url, socket_connect_timeout=SECONDS, socket_timeout=SECONDS
        ) as client:
            client.ping()


def _connect(url: str) -> None:
    engine = sa.create_engine(url, poolclass=sa.NullPool, connect_args={"connect_timeout": SECONDS})
    with engine.connect():
        pass


def _connection_string(url: str, *, secret: bool) -> str:
    """Write a Redis address as Feast does.

    >>> _connection_string("rediss://me:secret@db:6380/2", secret=False)
    'db:6380,db=2,ssl=true,username=me,password=${FEAST_REDIS_PASSWORD}'
    """
    parts = urlsplit(url)
    words = [f"{parts.hostname}:{parts.port or 6379}", f"db={parts.path.strip('/') or 0}"]
    if parts.scheme == "rediss":
        words.append("ssl=true")
    if parts.username:
        words.append(f"username={parts.username}")
    password = password_of(url)
    if password:
        words.append(f"password={password if secret else f'${{{REDIS_PASSWORD}}}'}")
    return ",".join(words)
