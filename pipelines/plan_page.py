"""A plan as one HTML page, for whoever approves it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

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

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #222; max-width: 64rem; margin: 2rem auto;
  padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { margin-top: 2.2rem; border-bottom: 1px solid #ddd; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
th, td { text-align: right; padding: .3rem .6rem; border-bottom: 1px solid #eee; }
th:first-child, td:first-child { text-align: left; }
footer { color: #555; font-size: .85rem; margin-top: 2.5rem; }
"""


def plan_page(plan: Mapping[str, Any]) -> str:
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
            f"<p>{escape(lead)}</p>",
            "<h2>Actions</h2>",
            _table(ACTION_COLUMNS, action_rows(plan)),
            f"<ul>{''.join(f'<li>{escape(said)}</li>' for said in sentences(plan))}</ul>",
            "<h2>What the control groups will show</h2>",
            "<p>The smallest effect that is seen with a power of 80% at 5% two-sided, beside the "
            "one that is expected and the one at which the action earns what it costs.</p>",
            _table(CONTROL_COLUMNS, control_rows(plan)),
            "<h2>What simple rules would do</h2>",
            _table(POLICY_COLUMNS, policy_rows(plan)),
            "<h2>Who is left out</h2>",
            _table(LEFT_COLUMNS, left_rows(plan)),
            f"<footer>Model version {plan['model_version']}, playbook "
            f"{escape(plan['playbook_version'])}, margin {plan['margin']:g}. Values are net of "
            "contact and expected incentive.</footer>",
        ]
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{escape(title(plan))}</title><style>{_STYLE}</style></head>\n"
        f"<body>\n{body}\n</body></html>\n"
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    cells = "".join(f"<th>{escape(name)}</th>" for name in head)
    lines = "".join(
        f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows
    )
    return f"<table><thead><tr>{cells}</tr></thead><tbody>{lines}</tbody></table>"
