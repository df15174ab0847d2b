"""The cycle as a job of Dagster: an op a step, tried again where it fails, once a week.

An example to start from. Each op is `lifecycle run --step NAME`: the state is the workspace's, so
that a job which is killed, or begun twice, does no step twice. It needs the extra ``dagster``
(`scripts/install dagster`) and looks at ``LIFECYCLE_WORKSPACE``::

    LIFECYCLE_WORKSPACE=shop dagster dev -m pipelines.dagster_cycle

Source: https://docs.dagster.io/guides/build/ops/graphs (ops that wait for each other without
handing anything on) and https://docs.dagster.io/guides/automate/schedules.
"""

# Dagster reads the hints of an op as they are: no `from __future__ import annotations` here.

import os
from typing import Any

import dagster as dg

from pipelines.context import Context
from pipelines.cycle.steps import STEPS
from pipelines.run import run

WEEKLY = "0 4 * * 1"
"""Mondays at four: Sunday's data are there, and the report is before the week begins."""

_AGAIN = dg.RetryPolicy(max_retries=2, delay=300, backoff=dg.Backoff.EXPONENTIAL)


def _op_of(name: str) -> dg.OpDefinition:
    """Make an op of a step; it waits for the step before."""

    @dg.op(  # type: ignore[untyped-decorator]
        name=name,
        description=STEPS[name].__doc__,
        ins={"before": dg.In(dg.Nothing)},
        out=dg.Out(dg.Nothing),
        retry_policy=_AGAIN,
    )
    def step(context: dg.OpExecutionContext) -> None:
        folder = os.environ.get("LIFECYCLE_WORKSPACE", "workspace")
        report = run(Context.open(folder), only=[name])
        outcome = report.outcomes[name]
        facts: dict[str, Any] = {"state": outcome.state, "alarms": "\n".join(report.alarms)}
        if outcome.state == "failed":
            raise dg.Failure(outcome.said, metadata=facts)
        context.log.info(f"{outcome.state}: {outcome.said}")
        context.add_output_metadata(facts)

    return step


@dg.job(description="From new files to the lifecycle report.")  # type: ignore[untyped-decorator]
def lifecycle_cycle() -> None:
    """Set the steps in a row."""
    before: Any = None
    for name in STEPS:
        step = _op_of(name)
        before = step() if before is None else step(before)


defs = dg.Definitions(
    jobs=[lifecycle_cycle],
    schedules=[dg.ScheduleDefinition(job=lifecycle_cycle, cron_schedule=WEEKLY)],
)
