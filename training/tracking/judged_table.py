"""The raw figures of all judged days as one table: ours beside the baselines'."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from training.answers import BTYD, PAST, PRODUCT
from training.evaluation import Evaluation

MEASURES: Mapping[str, str] = {
    "log_loss": "log loss",
    "auc": "AUC",
    "calibration_error": "calibration error",
    "spend_gini": "Gini of spend",
    "spend_deviance": "spend deviance",
    "spend_total_ratio": "spend said/seen",
    "spend_decile_error": "deciles off",
    "interval_score_90": "interval score",
    "coverage_90": "held by 90% intervals",
}
KEY = "judged on, method"
SHORT: Mapping[str, str] = {PRODUCT: "Lifecycle", BTYD: "BG/NBD", PAST: "recency"}
"""Names that fit a column of the UI; BG/NBD is with Gamma-Gamma, recency with past spend."""
DIGITS = 4


def judged_table(evaluation: Evaluation) -> dict[str, list[str | float | None]]:
    """List every method on all judged days together and on each, the newest first.

    Over several runs the UI groups by the first column and compares the second.

    Returns
    -------
    dict
        Columns of one length: ``judged on, method``, then a column a measure; None where a measure
        is of single days alone, or cannot be had of a method.
    """
    shown = {
        "all days": evaluation.pooled.metrics,
        **{day.day.isoformat(): day.metrics for day in reversed(evaluation.days)},
    }
    table: dict[str, list[str | float | None]] = {
        column: [] for column in (KEY, *MEASURES.values())
    }
    for when, metrics in shown.items():
        for method, name in SHORT.items():
            table[KEY].append(f"{when}, {name}")
            for measure, column in MEASURES.items():
                table[column].append(_rounded(metrics[method].get(measure)))
    return table


def _rounded(value: float | None) -> float | None:
    """Keep the digits worth reading; nan becomes None, which JSON can say.

    >>> _rounded(0.838123), _rounded(float("nan")), _rounded(None)
    (0.8381, None, None)
    """
    return None if value is None or np.isnan(value) else round(value, DIGITS)
