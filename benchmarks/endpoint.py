"""Requests a second of the endpoint, beside a floor that only predicts, and FastAPI for the same.

The workspace is given (--workspace, as `make demo` leaves it). Every server has one worker and the
same predict call, and is asked for one customer of 400 in turn, over 8 connections, by a load in a
process of its own on the other core. Rounds are interleaved and medians are printed:

- floor: bare Starlette and orjson, features in the request, only the prediction comes back;
- features: `POST /v1/features/score`, the full answer (key, decision record, fast reasons, stage,
  action);
- customers: `POST /v1/customers/score`, the same from the embedded store;
- fastapi: FastAPI and pydantic, features in the request, doing the work of the full answer;
- without reasons: `POST /v1/features/score` with `"reasons": "none"`;
- mlflow: `mlflow models serve` of the same registered model, which only predicts.

Then, by customer id: the latency at a steady rate on two workers (--rate), beside what a virtual
machine's host took of the processors meanwhile; and how long an alias moved by `promote` takes to
answer, with the requests that failed meanwhile.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import multiprocessing
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow.parquet as pq
from endpoint_load import KEY, ask_for_a_while

import mlflow
from features import catalogue
from features.days import day_number, parse_day
from features.ingest.ledger import Ledger
from features.settings import Settings
from features.snapshots import snapshot_folder
from features.workspace import Workspace
from training.registry import open_registry

CUSTOMERS = 400
START_SECONDS = 120.0


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextmanager
def serving(
    command: list[str],
    workspace: Path,
    ready: str,
    more: dict[str, str] | None = None,
    told: int = 0,
) -> Iterator[str]:
    """Run a server on a port of its own until the block ends.

    It begins when the server is ready and has told of so many of its workers.
    """
    port = free_port()
    environment = {
        **os.environ,
        "LIFECYCLE_WORKSPACE": str(workspace),
        "LIFECYCLE_SERVING__API_KEYS__BENCHMARK__SHA256": hashlib.sha256(KEY.encode()).hexdigest(),
        "PYTHONPATH": str(Path(__file__).parent.parent),
        # MLflow calls uvicorn by name.
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "OMP_NUM_THREADS": "1",
        **(more or {}),
    }
    with tempfile.TemporaryFile("a+b") as log:
        process = subprocess.Popen(
            [*command, "--port", str(port)], env=environment, stdout=log, stderr=log
        )
        address = f"http://127.0.0.1:{port}"
        try:
            until = time.monotonic() + START_SECONDS
            while True:
                if process.poll() is not None or time.monotonic() > until:
                    log.seek(0)
                    raise RuntimeError(log.read().decode()[-3000:])
                try:
                    is_ready = httpx.get(address + ready).status_code == 200
                    log.seek(0)
                    if is_ready and log.read().count(b"initialized") >= told:
                        break
                except httpx.TransportError:
                    pass
                time.sleep(0.2)
            yield address
        finally:
            process.terminate()
            process.wait(20)


def rows_of(workspace: Workspace) -> tuple[list[int], list[dict[str, Any]]]:
    """Customers of the newest snapshot who have bought, and their rows as a request has them."""
    ledger = Ledger(workspace)
    folder = snapshot_folder(workspace, ledger.customer_id_type)
    file = max(folder.glob("*.parquet"))
    table = pq.read_table(file).slice(0, 20 * CUSTOMERS)
    rows = [row for row in table.to_pylist() if row["purchases"]]
    chosen = np.random.default_rng(3).choice(len(rows), CUSTOMERS, replace=False)
    names = [name for name in catalogue.NAMES if name != "as_of_day"]
    bodies = [
        {"rows": [{"as_of": file.stem, "features": {name: rows[place][name] for name in names}}]}
        for place in chosen
    ]
    return [rows[place]["customer_id"] for place in chosen], bodies


def load(
    address: str, route: str, bodies: list[bytes], seconds: float, rate: float | None = None
) -> tuple[list[float], int, float]:
    """Ask from a process of its own; seconds of each request, failures, seconds in all."""
    context = multiprocessing.get_context("fork")
    receive, send = context.Pipe(duplex=False)
    process = context.Process(
        target=ask_for_a_while, args=(address, route, bodies, seconds, rate, send)
    )
    process.start()
    send.close()
    found: tuple[list[float], int, float] = receive.recv()
    process.join()
    return found


def compare(workspace: Path, rounds: int, seconds: float) -> None:
    ids, given = rows_of(Workspace(workspace))
    features = [json.dumps(body).encode() for body in given]
    bare = [json.dumps({**body, "reasons": "none"}).encode() for body in given]
    customers = [json.dumps({"customer_ids": [one]}).encode() for one in ids]
    peers = [sys.executable, "-m", "uvicorn", "--workers", "1", "--log-level", "warning",
             "--no-access-log", "--app-dir", str(Path(__file__).parent)]  # fmt: skip
    product = [sys.executable, "-m", "pipelines.cli", "--workspace", str(workspace), "serve"]
    registry = open_registry(Workspace(workspace), Settings())
    mlflow_serve = [sys.executable, "-m", "mlflow", "models", "serve", "--env-manager", "local",
                    "--workers", "1", "-m", "models:/lifecycle-scorer@champion"]  # fmt: skip
    with (
        serving([*peers, "endpoint_peers:floor"], workspace, "/ready") as floor,
        serving([*peers, "endpoint_peers:fastapi_app"], workspace, "/ready") as fastapi,
        serving(product, workspace, "/readyz") as ours,
        serving(mlflow_serve, workspace, "/ping", {"MLFLOW_TRACKING_URI": registry.uri}) as served,
    ):
        ways = {
            "floor: bare Starlette and orjson": (floor, "/score", features),
            "features in the request": (ours, "/v1/features/score", features),
            "by customer id": (ours, "/v1/customers/score", customers),
            "FastAPI and pydantic, features": (fastapi, "/score", features),
            "features, without reasons": (ours, "/v1/features/score", bare),
            "mlflow models serve": (served, "/invocations", [frame(body) for body in given]),
        }
        taken: dict[str, list[float]] = {name: [] for name in ways}
        for way in ways.values():
            load(*way, 1.0)
        for _ in range(rounds):
            for name, way in ways.items():
                latencies, failed, passed = load(*way, seconds)
                if failed and way[0] == ours:
                    raise RuntimeError(f"{name}: {failed} of {len(latencies)} requests failed")
                if failed:
                    print(f"{name}: {failed} of {len(latencies)} requests failed", flush=True)
                taken[name].append(len(latencies) / passed)
    medians = {name: statistics.median(rates) for name, rates in taken.items()}
    least = next(iter(medians.values()))
    for name, rate in medians.items():
        print(f"{name:34} {rate:7.0f} requests/s, {rate / least:.2f} of the floor", flush=True)


def frame(body: dict[str, Any]) -> bytes:
    """Put a row as `mlflow models serve` takes it."""
    (row,) = body["rows"]
    named = {**row["features"], "as_of_day": day_number(parse_day(row["as_of"]))}
    split = {
        "columns": list(catalogue.NAMES),
        "data": [[named[name] for name in catalogue.NAMES]],
    }
    return json.dumps({"dataframe_split": split}).encode()


def steady(workspace: Path, rate: float, rounds: int, seconds: float) -> None:
    ids, _ = rows_of(Workspace(workspace))
    bodies = [json.dumps({"customer_ids": [one]}).encode() for one in ids]
    product = [sys.executable, "-m", "pipelines.cli", "--workspace", str(workspace), "serve"]
    tails = []
    with serving([*product, "--workers", "2"], workspace, "/readyz", told=2) as ours:
        # Until the workers have shared the connections out.
        load(ours, "/v1/customers/score", bodies, 20.0, rate)
        for _ in range(rounds):
            before = stolen()
            latencies, failed, passed = load(ours, "/v1/customers/score", bodies, seconds, rate)
            lost = (stolen() - before) / passed
            p50, p99 = np.quantile(latencies, [0.5, 0.99]) * 1000
            tails.append(p99)
            print(
                f"by customer id at {rate:.0f} requests/s on two workers: p50 {p50:.1f} ms, p99 "
                f"{p99:.1f} ms, {failed} of {len(latencies)} failed; the host took {lost:.1%} of a "
                "processor away",
                flush=True,
            )
    print(f"median p99 {statistics.median(tails):.1f} ms, of {rounds} rounds", flush=True)


def stolen() -> float:
    """Seconds that a virtual machine's processors were ready to work and its host had none."""
    with contextlib.suppress(OSError):
        ticks = Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()[8]
        return int(ticks) / os.sysconf("SC_CLK_TCK")
    return 0.0


def swap(workspace: Path, seconds: float) -> None:
    """Move the alias to a copy of the champion under load, and see when it answers."""
    registry = open_registry(Workspace(workspace), Settings())
    mlflow.set_tracking_uri(registry.uri)
    champion = registry.require_champion()
    client = registry._client
    twin = client.create_model_version(
        "lifecycle-scorer",
        client.get_model_version("lifecycle-scorer", str(champion.version)).source,
        champion.run_id,
        tags=champion.tags,
    )
    ids, _ = rows_of(Workspace(workspace))
    bodies = [json.dumps({"customer_ids": [one]}).encode() for one in ids]
    product = [sys.executable, "-m", "pipelines.cli", "--workspace", str(workspace), "serve"]
    context = multiprocessing.get_context("fork")
    receive, send = context.Pipe(duplex=False)
    waits = []
    with serving(product, workspace, "/readyz") as ours, httpx.Client(base_url=ours) as asked:
        headers = {"authorization": f"Bearer {KEY}"}
        process = context.Process(
            target=ask_for_a_while, args=(ours, "/v1/customers/score", bodies, seconds, 50.0, send)
        )
        process.start()
        for number in [int(twin.version), champion.version] * 3:
            time.sleep(1.5)
            moved = time.perf_counter()
            client.set_registered_model_alias("lifecycle-scorer", "champion", str(number))
            while True:
                answer = asked.post(
                    "/v1/customers/score", json={"customer_ids": [ids[0]]}, headers=headers
                )
                if answer.json()["versions"]["model"] == number:
                    break
                time.sleep(0.01)
            waits.append(time.perf_counter() - moved)
        latencies, failed, _ = receive.recv()
        process.join()
    print(
        f"an alias moved answers after {statistics.median(waits):.2f} s, at most {max(waits):.2f} "
        f"s; {failed} of {len(latencies)} requests failed meanwhile"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workspace", type=Path, default=Path("workspace"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rate", type=float, default=300.0)
    parser.add_argument("--only", choices=["compare", "steady", "swap"])
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        # A copy: aliases are moved, and decisions kept.
        workspace = Path(folder) / "workspace"
        shutil.copytree(given.workspace, workspace)
        if given.only in (None, "compare"):
            compare(workspace, given.rounds, given.seconds)
        if given.only in (None, "steady"):
            steady(workspace, given.rate, 2 * given.rounds, 3 * given.seconds)
        if given.only in (None, "swap"):
            swap(workspace, 15.0)


if __name__ == "__main__":
    main()
