"""What the newest file of each table was like, beside the files before it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from features.ingest.contract import TABLES
from pipelines.watching.charts import judge, to_scale
from pipelines.watching.checks import Check

BELIEVED = (0.15, 12.0)
"""Spread of a rate on the arcsine's scale between files, before any was seen, and its worth."""
MATTERS = 0.05
RATES = ("quarantined", "merged", "zero_amount", "duplicate_lines", "unknown_kind")
_WORDS = {
    "quarantined": "rows set aside because they cannot be read",
    "merged": "rows that were there already",
    "zero_amount": "amounts of zero",
    "duplicate_lines": "lines that repeat another",
    "unknown_kind": "interactions of a kind that the contract does not know",
}
_MAY_ALARM = ("quarantined",)
"""The others are looked at by week as well, or depend on how exports overlap."""


def export_checks(exports: Sequence[Mapping[str, Any]]) -> list[Check]:
    """Set the newest file of each table beside those before it.

    Parameters
    ----------
    exports
        Of the ledger's manifest, in order of ingest.
    """
    files = [entry for entry in exports if not str(entry["digest"]).startswith("push")]
    out: list[Check] = []
    for table in TABLES:
        own = [entry for entry in files if entry["table"] == table]
        if len(own) > 1:
            out += [*_rates(table, own), *_columns(table, own)]
    return out


def _rates(table: str, own: Sequence[Mapping[str, Any]]) -> Iterator[Check]:
    rows = np.array([entry["counts"]["rows_in"] for entry in own], np.float64)
    for name in RATES:
        parts = np.array([entry["counts"].get(name, 0) for entry in own], np.float64)
        if not parts.any() or not rows[-1]:
            continue
        scaled = to_scale("share", parts, rows)
        usual = float(np.nanmedian(scaled[:-1]))
        noise = 1 / np.sqrt(rows[-1])
        judged = judge(scaled[:-1] - usual, float(scaled[-1]) - usual, noise, BELIEVED)
        if judged is None:
            continue
        value = float(parts[-1] / rows[-1])
        expected = float(parts[:-1].sum() / max(rows[:-1].sum(), 1))
        yield Check(
            key=f"data/{table}/file/{name}",
            group="data",
            value=value,
            expected=expected,
            chance=judged[0],
            matters=bool(value - expected >= MATTERS),
            may_alarm=name in _MAY_ALARM,
            sentence=(
                f"The newest file of {table}, {own[-1]['source']}: {value:.1%} of its "
                f"{rows[-1]:,.0f} rows are {_WORDS[name]}, {expected:.1%} in the files before."
            ),
            figures={"files": len(own) - 1},
        )


def _columns(table: str, own: Sequence[Mapping[str, Any]]) -> Iterator[Check]:
    """Find columns of the contract that every file had but the newest, or only the newest has."""
    had = set.intersection(*(set(entry["mapping"]) for entry in own[:-1]))
    ever = set.union(*(set(entry["mapping"]) for entry in own[:-1]))
    now = set(own[-1]["mapping"])
    for name, columns, words in (
        ("vanished", sorted(had - now), "lacks"),
        ("appeared", sorted(now - ever), "has for the first time"),
    ):
        listed = ", ".join(columns)
        yield Check(
            key=f"data/{table}/file/columns_{name}",
            group="data",
            value=float(len(columns)),
            expected=0.0,
            # A fact, and nothing that chance does.
            chance=0.0 if columns else 1.0,
            matters=bool(columns),
            may_alarm=name == "vanished",
            sentence=(
                f"The newest file of {table}, {own[-1]['source']}, {words}: {listed or 'nothing'}."
            ),
            figures={"columns": columns},
        )
