"""Run the faults, print their counts, and end with 1 if a promise was broken."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks.faults import __doc__ as about
from benchmarks.faults.disk_full import disk_full
from benchmarks.faults.materialise import materialise
from benchmarks.faults.mlflow_away import mlflow_away
from benchmarks.faults.redis_restart import redis_restart
from benchmarks.faults.swap import swap
from benchmarks.faults.trial import Fault, run
from benchmarks.faults.worker_killed import worker_killed

FAULTS: dict[str, Fault] = {
    "swap": swap,
    "materialise": materialise,
    "redis_restart": redis_restart,
    "worker_killed": worker_killed,
    "disk_full": disk_full,
    "mlflow_away": mlflow_away,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=about, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("faults", nargs="*", metavar="FAULT", help=f"of {', '.join(FAULTS)}")
    parser.add_argument("--workspace", type=Path, help="copied; by default the demo's is made")
    given = parser.parse_args()
    unknown = sorted(set(given.faults) - set(FAULTS))
    if unknown:
        parser.error(f"there is no fault {unknown[0]}; it is one of {', '.join(FAULTS)}")
    chosen = {name: FAULTS[name] for name in given.faults or FAULTS}
    sys.exit(any(one.broken for one in run(chosen, given.workspace)))


if __name__ == "__main__":
    main()
