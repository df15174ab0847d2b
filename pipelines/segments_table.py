"""A division of customers, as a person at a terminal reads it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipelines.console import Terminal
from pipelines.segments import SegmentReport
from pipelines.sensitive import GOT, SAID, Group, differing, got_rows, said_rows
from pipelines.value_table import show_value

_COLUMNS = ("customers", "churn", "CLV each", "profit to date")


def show_segments(terminal: Terminal, report: SegmentReport) -> None:
    """Print RFM, the grid of value and risk, the clusters and the slices."""
    if report.rfm:
        terminal.table(
            f"\nFifths of the {report.buyers:,} buyers on {report.as_of}, 5 is best, "
            f"cut as on {report.fitted_on} ({report.currency})",
            ("measure", "fifth", *_COLUMNS),
            [[one["measure"], str(one["fifth"]), *_cells(one)] for one in report.rfm],
        )
    else:
        terminal.note(f"No fifths: only {report.buyers} have bought.")
    show_value(terminal, report.currency, report.value_grid, report.profit, report.rescue)
    _show_clusters(terminal, report)
    for one in report.slices:
        terminal.table(
            f"\nBy {one['attribute']}" + (" (sensitive)" if one["sensitive"] else ""),
            ("value", "customers", "buyers", "churn", "CLV each", "profit to date"),
            [_slice(row) for row in one["rows"]],
        )
    for name, why in report.left_out.items():
        terminal.note(f"{name} {why}, so it is left out")
    _show_sensitive(terminal, [Group(**one) for one in report.sensitive])
    terminal.note(f"{report.customers:,} customers in {report.file}")


def _show_sensitive(terminal: Terminal, groups: list[Group]) -> None:
    for name in dict.fromkeys(group.attribute for group in groups):
        own = [group for group in groups if group.attribute == name]
        terminal.table(f"\nSaid and seen by {name} (sensitive)", SAID, said_rows(own))
        terminal.table(f"\nDone and advised by {name} (sensitive)", GOT, got_rows(own))
        for group in differing(own):
            terminal.note(
                f"mind: the churn probability of {name} {group.value} is off by "
                f"{group.churn_off:+.1%}, beyond its 95% interval"
            )


def _show_clusters(terminal: Terminal, report: SegmentReport) -> None:
    if not report.clusters:
        terminal.note(f"\nNo clusters: {report.why}.")
        return
    terminal.table(
        f"\nClusters of behaviour, fitted on {report.fitted_on}",
        ("cluster", *_COLUMNS, "comes back"),
        [
            [f"{one['cluster']} ({one['share']:.0%})", *_cells(one), f"{one['comes_back']:.2f}"]
            for one in report.clusters
        ],
    )
    for one in report.clusters:
        terminal.note(f"{one['cluster']}: {one['words'][report.language]}")
    if not report.gaps:
        terminal.note(
            "They come back when customers are drawn anew, but divide a continuum: there are no "
            "gaps between them, so do not take a border for a difference in kind."
        )


def _cells(one: Mapping[str, Any]) -> list[str]:
    return [
        f"{one['customers']:,}",
        _number(one["churn_probability"], ".2f"),
        _number(one["clv_12m"], ",.1f"),
        f"{one['profit_to_date']:,.0f}",
    ]


def _slice(row: Mapping[str, Any]) -> list[str]:
    return [
        row["value"],
        f"{row['customers']:,}",
        f"{row['buyers']:,}" + (" (few)" if row["few"] else ""),
        _interval(row, "churn_probability", ".2f"),
        _interval(row, "clv_12m", ",.1f"),
        f"{row['profit_to_date']:,.0f}",
    ]


def _interval(row: Mapping[str, Any], name: str, form: str) -> str:
    told = _number(row[name], form)
    if row[f"{name}_lower"] is None:
        return told
    return f"{told} ({row[f'{name}_lower']:{form}} to {row[f'{name}_upper']:{form}})"


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)
