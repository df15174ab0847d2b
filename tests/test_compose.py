"""Dockerfile and compose.yaml, as far as they can be judged without an engine."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import click
import httpx
import pytest
import shop
import yaml
from servers import database as database  # noqa: PLC0414 - a fixture
from servers import free_port

from features import __version__
from features.errors import WorkspaceError
from features.settings import Settings
from features.workspace import Workspace
from pipelines.cli import main
from pipelines.context import Context
from pipelines.serve import prepare
from serving.endpoint.opening import Endpoint

ROOT = Path(__file__).parent.parent
DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8")
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
PINNED = re.compile(r"^[a-z/]+:\d+\.\d+[\w.-]*$")

each_service = pytest.mark.parametrize("service", SERVICES.values(), ids=list(SERVICES))


@each_service
def test_a_service_is_guarded_pinned_limited_and_looked_after(service: dict[str, Any]):
    assert PINNED.match(service["image"]), "a tag that does not move"
    user, _, group = service["user"].partition(":")
    assert int(user) > 0
    assert int(group) > 0
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not service.get("privileged")
    assert {"test", "interval", "timeout"} <= set(service["healthcheck"])
    assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory", "pids"}
    assert service["restart"] == "unless-stopped"
    assert {"max-size", "max-file"} <= set(service["logging"]["options"])
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
    needed = service.get("depends_on", {})
    assert all(one == {"condition": "service_healthy"} for one in needed.values())
    assert set(needed) <= set(SERVICES)
    volumes = [v.partition(":")[0] for v in service.get("volumes", [])]
    named = {name for name in volumes if not name.startswith(".")}
    assert named <= set(COMPOSE["volumes"])
    files = {name for name in volumes if name.startswith("./deploy")}
    assert all((ROOT / name).is_file() for name in files)


@each_service
def test_no_secret_stands_in_clear(service: dict[str, Any]):
    for name, value in service.get("environment", {}).items():
        assert not re.search(r"://[^/\s]*:[^/\s]*@", str(value)), name
        if re.search("PASSWORD|SECRET|TOKEN|_KEY|API_KEYS|REDIS_URL|REGISTRY|PUSH_LOG", name):
            assert name.endswith("_FILE"), f"{name} is a secret: name a file"
            assert value.removeprefix("/run/secrets/") in service["secrets"]
    assert set(service.get("secrets", [])) <= set(COMPOSE["secrets"])
    assert {"file"} == {key for secret in COMPOSE["secrets"].values() for key in secret}


def test_variables_name_settings_and_commands_are_verbs():
    for name in ("endpoint", "scheduler"):
        for variable in SERVICES[name]["environment"]:
            if variable == "LIFECYCLE_SETTINGS":
                continue
            section, _, key = variable.removeprefix("LIFECYCLE_").lower().partition("__")
            group = Settings.model_fields[section].annotation
            assert key.removesuffix("_file") in group.model_fields, variable
    serve = main.commands[SERVICES["endpoint"]["command"][0]]
    options = {
        option for one in serve.params if isinstance(one, click.Option) for option in one.opts
    }
    assert {w for w in SERVICES["endpoint"]["command"] if w.startswith("--")} <= options
    for verb in re.findall(r"lifecycle ([a-z]+)", SERVICES["scheduler"]["command"][0]):
        assert verb in main.commands


def test_what_the_image_copies_is_there_and_let_through():
    let_through = (ROOT / ".dockerignore").read_text().splitlines()
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)
    for name in [word for line in copied for word in line.split()]:
        assert (ROOT / name).exists(), name
        assert f"!{name}" in let_through, f"{name} is kept from the engine by .dockerignore"
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wheel = packages["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert set(wheel) <= {word for line in copied for word in line.split()}


def test_versions_agree():
    assert {SERVICES[name]["image"] for name in ("endpoint", "scheduler", "mlflow")} == {
        f"lifecycle:{__version__}"
    }
    bases = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    assert len(set(bases)) == 1
    version = re.match(r"python:(\d+)\.(\d+)\.\d+-slim-\w+$", bases[0])
    assert version
    assert "-bookworm" in bases[0], "the wheel's own libgomp1 is asked of Debian"
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert pyproject["project"]["requires-python"] == ">=3.11,<3.14"
    assert (3, 11) <= (int(version[1]), int(version[2])) < (3, 14)
    locked = re.search(r"^uv==(\S+)", (ROOT / "requirements-dev.lock").read_text(), re.MULTILINE)
    assert locked
    assert f"uv=={locked[1]} " in DOCKERFILE
    assert "--require-hashes" in DOCKERFILE
    assert re.search(r"^USER 10001:10001$", DOCKERFILE, re.MULTILINE)
    assert SERVICES["endpoint"]["user"] == "10001:10001"


def test_the_secrets_are_made_once_and_readable_by_their_folders_owner_alone(tmp_path: Path):
    folder = tmp_path / "secrets"
    script = [str(ROOT / "deploy" / "secrets"), str(folder)]
    said = subprocess.run(script, check=True, capture_output=True, text=True).stdout
    made = {path.name: path.read_text() for path in folder.iterdir()}
    assert set(made) == set(COMPOSE["secrets"])
    assert oct(folder.stat().st_mode)[-3:] == "700"
    key = said.split()[-1]
    assert key not in str(made), "only its digest is kept"
    named = {
        f"LIFECYCLE_{setting}_FILE": str(folder / name)
        for setting, name in (
            ("STORES__REDIS_URL", "redis_url"),
            ("STORES__PUSH_LOG", "database_url"),
            ("SERVING__API_KEYS", "api_keys"),
        )
    }
    settings = Settings.load(None, named)
    assert set(settings.serving.api_keys) == {"crm"}
    again = subprocess.run(script, check=True, capture_output=True, text=True).stdout
    assert again == ""
    assert {path.name: path.read_text() for path in folder.iterdir()} == made


@pytest.mark.parametrize("name", ["scheduler", "mlflow", "redis"])
def test_what_a_shell_is_given_is_a_shells(name: str):
    service = SERVICES[name]
    script = service["command"][0].replace("$$", "$")
    assert service["entrypoint"] == ["sh", "-c"]
    subprocess.run(["sh", "-n", "-c", script], check=True, env=dict(os.environ))
    assert shlex.split(script)


class Machine:
    """The services' own commands, variables and health checks, each a process of this machine.

    Only hosts, ports and folders are others than in containers.
    """

    def __init__(self, folder: Path, server: str, database: str) -> None:
        self.folder = folder
        self.ports = {"mlflow": free_port(), "endpoint": free_port(), "redis": free_port()}
        for name in ("data", "workspace", "artifacts", "tmp"):
            (folder / name).mkdir(parents=True)
        script = [str(ROOT / "deploy" / "secrets"), str(folder / "secrets")]
        said = subprocess.run(script, check=True, capture_output=True, text=True).stdout
        self.key = said.split()[-1]
        self.passwords = [self.secret("postgres_password"), self.secret("redis_password")]
        redis = self.secret("redis_url")
        self._rewrite("redis_url", redis.replace("redis:6379", f"127.0.0.1:{self.ports['redis']}"))
        # The server that is here takes any password.
        account = f"postgres:{self.passwords[0]}@"
        server = server.replace("postgres@", account)
        self._rewrite("database_url", f"{server}/{database}")
        self._rewrite("mlflow_database_url", f"{server}/{database}_mlflow")

    def secret(self, name: str) -> str:
        return (self.folder / "secrets" / name).read_text().strip()

    def _rewrite(self, name: str, content: str) -> None:
        path = self.folder / "secrets" / name
        path.chmod(0o600)
        path.write_text(content)

    def here(self, text: str) -> str:
        inside = r"(?<![\w/])/(?:run/)?(secrets|workspace|data|artifacts|tmp)(?=[/\s]|$)"
        text = re.sub(inside, lambda found: str(self.folder / found[1]), text.replace("$$", "$"))
        text = text.replace("redis-server -", f"redis-server - --port {self.ports['redis']}")
        text = text.replace("redis-cli", f"redis-cli -p {self.ports['redis']}")
        for name, port in (("mlflow", 5000), ("endpoint", 3000)):
            text = re.sub(rf"\b{name}:{port}\b", f"127.0.0.1:{port}", text)
            text = re.sub(rf"(?<=[: ]){port}\b|^{port}$", str(self.ports[name]), text)
        return text

    def environment(self, name: str) -> dict[str, str]:
        """What compose.yaml says, and what the image says."""
        given = SERVICES[name].get("environment", {})
        return {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(self.folder / "tmp"),
            "TMPDIR": str(self.folder / "tmp"),
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
            "LIFECYCLE_WORKSPACE": str(self.folder / "workspace"),
            **{key: self.here(str(value)) for key, value in given.items()},
        }

    def command(self, name: str) -> list[str]:
        service = SERVICES[name]
        of_the_image = json.loads(re.findall(r"^ENTRYPOINT (.+)$", DOCKERFILE, re.MULTILINE)[-1])
        return [self.here(word) for word in [*service.get("entrypoint", of_the_image),
                                             *service["command"]]]  # fmt: skip

    def is_healthy(self, name: str) -> bool:
        kind, *words = SERVICES[name]["healthcheck"]["test"]
        words = ["sh", "-c", *words] if kind == "CMD-SHELL" else words
        seconds = SERVICES[name]["healthcheck"]["timeout"].removesuffix("s")
        try:
            done = subprocess.run(
                [self.here(word) for word in words], env=self.environment(name), check=False,
                capture_output=True, timeout=4 * float(seconds),
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return False
        return done.returncode == 0

    def log(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def wait(self, found: Callable[[], object], *logs: str) -> None:
        until = time.monotonic() + 400
        while not found():
            told = "".join(self.log(name).read_text()[-3000:] for name in logs)
            assert time.monotonic() < until, told
            time.sleep(0.5)

    @contextmanager
    def running(self, name: str) -> Iterator[subprocess.Popen[bytes]]:
        """Run a service until the block ends, whose needs must be healthy and itself not yet."""
        needed = SERVICES[name].get("depends_on", {})
        assert all(self.is_healthy(one) for one in needed), name
        with self.log(name).open("a") as output:
            process = subprocess.Popen(
                self.command(name), env=self.environment(name), stdout=output, stderr=output,
                cwd=self.folder / "tmp", start_new_session=True,
            )  # fmt: skip
        try:
            yield process
        finally:
            # As an engine does: the first process is told, and has its time.
            process.terminate()
            try:
                process.wait(60)
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)


def in_order() -> list[str]:
    """Name the services so that each comes after those that it depends on."""
    needs = {name: set(service.get("depends_on", {})) for name, service in SERVICES.items()}
    return list(TopologicalSorter(needs).static_order())


def test_an_endpoint_that_waits_starts_where_nothing_is_promoted(tmp_path: Path):
    context = Context(Workspace(tmp_path), Settings())
    with pytest.raises(WorkspaceError, match="is not a workspace yet"):
        prepare(context)
    assert "has no orders yet" in prepare(context, wait=True)
    endpoint = Endpoint.of(context.workspace, context.settings)
    endpoint.live.refresh()
    assert not endpoint.live.is_ready
    endpoint.stop()
    context.workspace.require()


def test_services_are_started_after_what_they_need():
    order = in_order()
    assert order.index("postgres") < order.index("mlflow")
    for name in ("endpoint", "scheduler"):
        assert {"postgres", "redis", "mlflow"} <= set(order[: order.index(name)])


@pytest.mark.full
def test_the_services_work_together_from_an_empty_machine_on(database: str, tmp_path: Path):
    for program in ("redis-server", "redis-cli", "pg_isready"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    server, _, name = database.rpartition("/")
    psycopg = pytest.importorskip("psycopg")
    with psycopg.connect(database, autocommit=True) as connection:
        assert "CREATE DATABASE mlflow;" in (ROOT / "deploy" / "mlflow.sql").read_text()
        connection.execute(f"CREATE DATABASE {name}_mlflow")
    machine = Machine(tmp_path / "m", server, name)
    shop.orders(300).write_csv(machine.folder / "data" / "orders.csv")
    mapping = dict(pair.split("=") for pair in shop.MAP)
    settings = {
        "data": {"orders": "orders.csv", "mapping": mapping},
        "churn": {"horizon_days": 60},
        "training": {"trials": 0, "threads": 1},
    }
    (machine.folder / "data" / "lifecycle.yaml").write_text(yaml.safe_dump(settings))
    try:
        with ExitStack() as held:
            processes: dict[str, subprocess.Popen[bytes]] = {}
            for one in in_order():
                if one != "postgres":
                    assert not machine.is_healthy(one), f"{one} is healthy before it is there"
                    processes[one] = held.enter_context(machine.running(one))
                if any(one in service.get("depends_on", {}) for service in SERVICES.values()):
                    machine.wait(partial(machine.is_healthy, one))
            # The endpoint is there before any model is, and not healthy.
            machine.wait(lambda: answers(machine, "/livez"), "endpoint")
            assert not machine.is_healthy("endpoint")
            machine.wait(lambda: ends(machine) == 1, "scheduler", "endpoint")
            assert states(machine, 1) == {"ingest": "done", "train": "done", "promote": "done",
                                          "materialise": "done", "score": "done"}  # fmt: skip
            assert machine.is_healthy("scheduler")
            machine.wait(partial(machine.is_healthy, "endpoint"), "endpoint")
            assert processes["endpoint"].poll() is None
            first = asked(machine, "/v1/customers/score", {"customer_ids": [1]})
            # The scheduler ends when it is told to; another one does nothing anew.
            processes["scheduler"].terminate()
            assert processes["scheduler"].wait(60) == 0
            held.enter_context(machine.running("scheduler"))
            machine.wait(lambda: ends(machine) == 2, "scheduler")
            assert states(machine, 2) == {"ingest": "unchanged", "train": "not due",
                                          "promote": "unchanged", "materialise": "unchanged",
                                          "score": "unchanged"}  # fmt: skip
            again = asked(machine, "/v1/customers/score", {"customer_ids": [1]})
            assert again["results"] == first["results"]
            order = {"customer_id": 1, "ordered_at": "2024-07-01T10:00:00Z", "amount": 9.0}
            asked(machine, "/v1/events", {"table": "orders", "rows": [order]})
            pushed = asked(machine, "/v1/customers/score", {"customer_ids": [1]})
            assert pushed["results"][0]["as_of"] == "2024-07-01"
            check_places(machine, database)
            for process in processes.values():
                check_variables(machine, process.pid)
    finally:
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name}_mlflow WITH (FORCE)")
    for log in machine.folder.glob("*.log"):
        told = log.read_text()
        assert not [word for word in (*machine.passwords, machine.key) if word in told], log.name
    left = [str(path) for path in (machine.folder / "tmp").rglob("manifest.json")]
    assert not left, "models that were fetched are not let go"


def check_places(machine: Machine, database: str) -> None:
    """What is kept is where compose.yaml says, and nowhere else."""
    import psycopg
    import redis

    assert list((machine.folder / "artifacts").rglob("manifest.json"))
    for name in ("mlflow.db", "registry.db", "pushes.db", "online*.db"):
        assert not list((machine.folder / "workspace").rglob(name)), name
    with redis.Redis.from_url(machine.secret("redis_url")) as client:
        assert client.dbsize() > 300
    with psycopg.connect(database) as connection:
        for table in ("feature_views", "lifecycle_events"):
            (count,) = connection.execute(f"SELECT count(*) FROM {table}").fetchone() or (0,)
            assert count > 0, table


def check_variables(machine: Machine, process: int) -> None:
    """No secret stands among the variables of a service's processes."""
    for pid in [process, *children(process)]:
        with suppress(FileNotFoundError):
            variables = Path(f"/proc/{pid}/environ").read_bytes()
            assert machine.key.encode() not in variables
            assert machine.passwords[1].encode() not in variables


def asked(machine: Machine, route: str, body: dict[str, Any]) -> dict[str, Any]:
    address = f"http://127.0.0.1:{machine.ports['endpoint']}{route}"
    refused = httpx.post(address, json=body, timeout=30)
    assert refused.status_code == 401
    key = {"authorization": f"Bearer {machine.key}"}
    answer = httpx.post(address, json=body, headers=key, timeout=30)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def ends(machine: Machine) -> int:
    """How many runs of the scheduler have come to their last step."""
    return len(re.findall(r"^retain ", machine.log("scheduler").read_text(), re.MULTILINE))


def states(machine: Machine, run: int) -> dict[str, str]:
    """What some steps of a run came to, the first run being 1."""
    told = re.findall(
        r"^(ingest|train|promote|materialise|score) +(done|unchanged|not due|failed) ",
        machine.log("scheduler").read_text(),
        re.MULTILINE,
    )
    return dict(told[5 * (run - 1) : 5 * run])


def children(pid: int) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            if int(path.read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(path.parent.name))
    return found


def answers(machine: Machine, path: str) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{machine.ports['endpoint']}{path}").status_code == 200
    except httpx.HTTPError:
        return False
