"""`lifecycle recommend --withdraw`: take a plan back that was approved by mistake."""

from __future__ import annotations

import getpass
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from features.errors import InputError
from features.workspace import replacing
from pipelines.console import Terminal
from pipelines.context import Context
from pipelines.plan_page import plan_page
from pipelines.recommend import carried_out
from serving.plan.kept import KeptPlans, Withdrawal


@dataclass(frozen=True)
class WithdrawReport:
    """What was taken back.

    Attributes
    ----------
    repeated
        Whether it had been before, which is what ``at``, ``by`` and ``why`` tell of.
    customers
        Of the plan, in both arms.
    page
        The plan's page, which says so now.
    """

    campaign: str
    version: int
    repeated: bool
    at: str
    by: str
    why: str
    customers: int
    page: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def withdraw(context: Context, campaign: str, why: str, by: str | None = None) -> WithdrawReport:
    """Take the newest plan of a campaign back: nobody waits and no place is taken because of it.

    The plan's files stay. The same campaign can be planned anew, as a further version.

    Parameters
    ----------
    by
        Who does; default: the user of this process.

    Raises
    ------
    InputError
        There is no such plan, no reason is given, or the plan has been carried out.
    """
    if not why.strip():
        raise InputError("--withdraw needs a reason that others will read; give it with --why")
    context.workspace.require()
    with context.workspace.locked():
        plans = KeptPlans(context.workspace.plans)
        plan = plans.require(campaign)
        done = carried_out(context.folded_ledger(), campaign)
        if done and plan.withdrawn is None:
            raise InputError(
                f"campaign {campaign} has been carried out ({done:,} of its treatments are "
                "ingested): what was done is not undone by withdrawing it; read it back with "
                f"`lifecycle outcomes --campaign {campaign}`"
            )
        now = datetime.now(UTC).isoformat(timespec="seconds")
        before = plan.withdrawn
        plan = plans.withdraw(campaign, Withdrawal(now, by or _user(), why.strip()))
        withdrawn = plan.withdrawn
        if withdrawn is None:
            raise RuntimeError("a withdrawal was not kept")
        page = plan.file.with_suffix(".html")
        with replacing(page) as temporary:
            temporary.write_text(plan_page(plan.report, withdrawn), encoding="utf-8")
    return WithdrawReport(
        campaign, plan.version, before is not None, withdrawn.at, withdrawn.by, withdrawn.why,
        int(plan.report["chosen"]), str(page),
    )  # fmt: skip


def show(terminal: Terminal, report: WithdrawReport) -> None:
    """Say what was taken back."""
    was = "had been withdrawn already" if report.repeated else "is withdrawn"
    terminal.note(
        f"campaign {report.campaign}, version {report.version}, {was} (by {report.by} at "
        f"{report.at}: {report.why}): its {report.customers:,} customers wait for nothing because "
        "of it, and its places are free"
    )
    terminal.note(
        "whoever has its file for the CRM is to be told; what was planned after it may be planned "
        "anew with `lifecycle recommend`"
    )


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # a process whose user has no name
        return "unknown"
