"""The champion beside what a careful analyst would use, as a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from training.evaluation import BTYD, PAST, PRODUCT

COLUMNS = (
    "judged out of time", "AUC", "log loss", "cal. error", "Gini of spend", "said/seen", "deviance",
)  # fmt: skip
_SHOWN = (
    ("auc", ".3f"),
    ("log_loss", ".4f"),
    ("calibration_error", ".3f"),
    ("spend_gini", ".3f"),
    ("spend_total_ratio", ".2f"),
    ("spend_deviance", ".2f"),
)
_NAMES = {
    PRODUCT: "Lifecycle",
    BTYD: "BG/NBD + Gamma-Gamma",
    PAST: "recency and past spend",
}


def evaluation_rows(evaluation: Mapping[str, Any]) -> list[list[str]]:
    """Format an evaluation, a row a method; what could not be computed is a dash."""
    return [
        [
            name,
            *(
                "–" if evaluation["metrics"][method][key] is None
                else format(evaluation["metrics"][method][key], form)
                for key, form in _SHOWN
            ),
        ]
        for method, name in _NAMES.items()
    ]  # fmt: skip
