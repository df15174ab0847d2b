"""From an event to the changed answer: `POST /v1/events`, then `POST /v1/customers/score`.

CDNOW's 23,570 customers, trained without a search (`--workspace` takes one that is there, such as
the demo's, and works on a copy). A real `lifecycle serve` on loopback; each push is one order of
one customer, a day later than the one before, and is over when the endpoint answers as of that day.
Printed: p50, p99 and the slowest of both requests together, and of the push alone.
"""

from __future__ import annotations

import argparse
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path

import httpx
import numpy as np

from benchmarks.faults.shop import demo_of
from pipelines.cdnow import LAST_DAY

LIFECYCLE = Path(sys.executable).with_name("lifecycle")
START_SECONDS = 300
WARM = 3


@contextmanager
def serving(workspace: Path) -> Iterator[httpx.Client]:
    """Run the endpoint until the block ends."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        str(LIFECYCLE),
        "serve",
        "--quiet",
        "--workspace",
        str(workspace),
        "--port",
        str(port),
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            await_ready(client)
            yield client
    finally:
        process.terminate()
        process.wait(timeout=60)


def await_ready(client: httpx.Client) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        try:
            if client.get("/readyz").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.5)
    raise TimeoutError(f"the endpoint was not ready within {START_SECONDS} seconds")


def push(client: httpx.Client, customer: int, day: date) -> tuple[float, float]:
    """Push an order and ask for its customer: seconds to the push's answer, and to the new one."""
    order = {"customer_id": customer, "ordered_at": f"{day}T10:00:00Z", "amount": 14.5}
    started = time.perf_counter()
    client.post("/v1/events", json={"table": "orders", "rows": [order]}).raise_for_status()
    taken = time.perf_counter() - started
    answer = client.post("/v1/customers/score", json={"customer_ids": [customer]})
    answered = time.perf_counter() - started
    found = answer.raise_for_status().json()["results"][0]["as_of"]
    if found != day.isoformat():
        raise RuntimeError(f"customer {customer} is answered for as of {found}, not {day}")
    return taken, answered


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workspace", type=Path)
    parser.add_argument("--pushes", type=int, default=60)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        workspace = Path(folder) / "workspace"
        if asked.workspace is None:
            demo_of(workspace)
        else:
            shutil.copytree(asked.workspace, workspace)
        first = date.fromisoformat(LAST_DAY)
        with serving(workspace) as client:
            times = [
                push(client, 1 + 7 * number, first + timedelta(days=1 + number))
                for number in range(WARM + asked.pushes)
            ][WARM:]
    names = ("push alone", "to the changed answer")
    for name, seconds in zip(names, zip(*times, strict=True), strict=True):
        p50, p99 = np.percentile(seconds, [50, 99])
        print(f"{name:22} p50 {p50:.3f} s, p99 {p99:.3f} s, slowest {max(seconds):.3f} s")


if __name__ == "__main__":
    main()
