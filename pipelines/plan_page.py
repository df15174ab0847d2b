"""A plan as one HTML page, for whoever approves it."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from pipelines.page import bullets, page, table
from pipelines.plan_words import (
    ACTION_COLUMNS,
    CONTROL_COLUMNS,
    LEFT_COLUMNS,
    POLICY_COLUMNS,
    action_rows,
    control_rows,
    left_rows,
    money,
    policy_rows,
    sentences,
    title,
)
from serving.plan.kept import Withdrawal

_WITHDRAWN = """
.withdrawn { border: 2px solid; padding: .6rem 1rem; font-weight: 600; }
"""


def plan_page(plan: Mapping[str, Any], withdrawn: Withdrawal | None = None) -> str:
    """Put the page together; it names no customer but the first whom money would buy something for.

    It needs nothing from the network.
    """
    value = plan["value"]
    lead = (
        f"{plan['treated']:,} of {plan['known']:,} customers are treated for "
        f"{money(plan['cost'])} {plan['currency']}, and {plan['control']:,} are held out. A net "
        f"value of {money(value['mid'])} {plan['currency']} is expected, between "
        f"{money(value['low'])} and {money(value['high'])} if every effect lies at that end of its "
        "range."
    )
    body = "\n".join(
        [
            f"<h1>{escape(title(plan))}</h1>",
            _withdrawn(withdrawn),
            f"<p>{escape(lead)}</p>",
            "<h2>Actions</h2>",
            table(ACTION_COLUMNS, action_rows(plan)),
            bullets(sentences(plan)),
            "<h2>What the control groups will show</h2>",
            "<p>The smallest effect that is seen with a power of 80% at 5% two-sided, beside the "
            "one that is expected and the one at which the action earns what it costs.</p>",
            table(CONTROL_COLUMNS, control_rows(plan)),
            "<h2>What simple rules would do</h2>",
            table(POLICY_COLUMNS, policy_rows(plan)),
            "<h2>Who is left out</h2>",
            table(LEFT_COLUMNS, left_rows(plan)),
            f"<footer>Model version {plan['model_version']}, playbook "
            f"{escape(plan['playbook_version'])}, margin {plan['margin']:g}. Values are net of "
            "contact and expected incentive.</footer>",
        ]
    )
    return page(title(plan), body, style=_WITHDRAWN if withdrawn else "")


def _withdrawn(withdrawn: Withdrawal | None) -> str:
    if withdrawn is None:
        return ""
    told = f"Withdrawn by {withdrawn.by} at {withdrawn.at}: {withdrawn.why}"
    return f'<p class="withdrawn">{escape(told)}</p>'
