"""Dockerfile and compose.yaml, as far as they can be judged without an engine."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
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
from features.settings import Settings
from pipelines.cli import main

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
    """The services' own commands and variables, on this machine in the place of containers."""

    def __init__(self, folder: Path, server: str, database: str) -> None:
        self.folder = folder
        self.ports = {name: free_port() for name in ("mlflow", "endpoint", "redis")}
        for name in ("data", "workspace", "artifacts", "home"):
            (folder / name).mkdir(parents=True)
        script = [str(ROOT / "deploy" / "secrets"), str(folder / "secrets")]
        said = subprocess.run(script, check=True, capture_output=True, text=True).stdout
        self.key = said.split()[-1]
        for name, addressed in (
            ("database_url", f"{server}/{database}"),
            ("mlflow_database_url", f"{server}/{database}_mlflow"),
        ):
            self._rewrite(name, addressed)
        redis = (folder / "secrets" / "redis_url").read_text()
        self._rewrite("redis_url", redis.replace("redis:6379", f"127.0.0.1:{self.ports['redis']}"))

    def _rewrite(self, name: str, content: str) -> None:
        path = self.folder / "secrets" / name
        path.chmod(0o600)
        path.write_text(content)

    def _here(self, text: str) -> str:
        inside = r"/(?:run/)?(secrets|workspace|data|artifacts)(?=[/\s]|$)"
        text = re.sub(inside, lambda found: str(self.folder / found[1]), text)
        return text.replace("mlflow:5000", f"127.0.0.1:{self.ports['mlflow']}")

    def environment(self, name: str) -> dict[str, str]:
        given = SERVICES[name].get("environment", {})
        return {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(self.folder / "home"),
            "PYTHONPATH": str(ROOT),
            "LIFECYCLE_WORKSPACE": str(self.folder / "workspace"),
            "LIFECYCLE_TRAINING__TRIALS": "0",
            **{key: self._here(str(value)) for key, value in given.items()},
        }

    def shell(self, name: str, old: str = "", new: str = "") -> list[str]:
        script = SERVICES[name]["command"][0].replace("$$", "$").replace(old, new)
        return ["sh", "-c", self._here(script)]

    def verb(self, *words: str) -> None:
        done = subprocess.run(
            ["lifecycle", *words], env=self.environment("scheduler"), cwd=self.folder / "home",
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr

    @contextmanager
    def running(self, name: str, command: list[str], path: str) -> Iterator[str]:
        """Run a service until the block ends; wait until its health is answered for."""
        log = self.folder / f"{name}.log"
        address = f"http://127.0.0.1:{self.ports[name]}"
        with log.open("w") as output:
            process = subprocess.Popen(
                command, env=self.environment(name), stdout=output, stderr=output,
                cwd=self.folder / "home", start_new_session=True,
            )  # fmt: skip
        try:
            until = time.monotonic() + 300
            while path and not answers(address + path):
                assert process.poll() is None, log.read_text()[-3000:]
                assert time.monotonic() < until, log.read_text()[-3000:]
                time.sleep(0.5)
            yield address
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(60)


def answers(address: str) -> bool:
    try:
        return httpx.get(address, timeout=2).status_code == 200
    except httpx.HTTPError:
        return False


@pytest.mark.full
def test_the_services_work_together_by_their_own_commands_and_variables(
    database: str, tmp_path: Path
):
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed")
    server, _, name = database.rpartition("/")
    psycopg = pytest.importorskip("psycopg")
    with psycopg.connect(database, autocommit=True) as connection:
        assert "CREATE DATABASE mlflow;" in (ROOT / "deploy" / "mlflow.sql").read_text()
        connection.execute(f"CREATE DATABASE {name}_mlflow")
    machine = Machine(tmp_path / "m", server, name)
    shop.orders(300).write_csv(machine.folder / "data" / "orders.csv")
    mapping = dict(pair.split("=") for pair in shop.MAP)
    (machine.folder / "data" / "lifecycle.yaml").write_text(
        yaml.safe_dump({"data": {"orders": "orders.csv", "mapping": mapping}})
    )
    port = f"redis-server - --port {machine.ports['redis']}"
    redis = machine.shell("redis", "redis-server -", port)
    mlflow = machine.shell("mlflow", "--port 5000", f"--port {machine.ports['mlflow']}")
    serve = ["lifecycle", *SERVICES["endpoint"]["command"]]
    serve[serve.index("3000")] = str(machine.ports["endpoint"])
    try:
        with machine.running("redis", redis, ""), machine.running("mlflow", mlflow, "/health"):
            machine.verb("ingest")
            machine.verb("train", "--horizon-days", "60")
            machine.verb("promote", "--force", "--reason", "the first")
            machine.verb("score")
            with machine.running("endpoint", serve, "/readyz") as address:
                asked = {"customer_ids": [1]}
                refused = httpx.post(f"{address}/v1/customers/score", json=asked)
                assert refused.status_code == 401
                key = {"authorization": f"Bearer {machine.key}"}
                answer = httpx.post(f"{address}/v1/customers/score", json=asked, headers=key)
                assert answer.status_code == 200, answer.text
                order = {"customer_id": 1, "ordered_at": "2024-07-01T10:00:00Z", "amount": 9.0}
                rows = {"table": "orders", "rows": [order]}
                pushed = httpx.post(f"{address}/v1/events", json=rows, headers=key)
                assert pushed.status_code == 200, pushed.text
            runs = httpx.get(f"http://127.0.0.1:{machine.ports['mlflow']}/health")
            assert runs.status_code == 200
            assert list((machine.folder / "artifacts").rglob("manifest.json"))
            assert not list((machine.folder / "workspace").rglob("mlflow.db"))
    finally:
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name}_mlflow WITH (FORCE)")
    secrets = [path.read_text().strip() for path in (machine.folder / "secrets").iterdir()]
    passwords = [text for text in secrets if re.fullmatch("[0-9a-f]{48}", text)]
    assert len(passwords) == 2
    for log in machine.folder.glob("*.log"):
        assert not [p for p in (*passwords, machine.key) if p in log.read_text()], log.name
