"""The product beside what a careful analyst would use, as tables and sentences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pipelines.console import Terminal
from training.answers import BASELINES, BTYD, PAST, PRODUCT
from training.grade import NOT_JUDGED

COLUMNS = (
    "judged out of time", "AUC", "log loss", "cal. error", "Gini of spend", "said/seen", "deviance",
    "deciles off", "interval score",
)  # fmt: skip
_SHOWN = (
    ("auc", ".3f"),
    ("log_loss", ".4f"),
    ("calibration_error", ".3f"),
    ("spend_gini", ".3f"),
    ("spend_total_ratio", ".2f"),
    ("spend_deviance", ".2f"),
    ("spend_decile_error", ".2f"),
    ("interval_score_90", ".1f"),
)
DIFFERENCES = ("product minus", "log loss", "AUC", "Gini of spend")
_COMPARED = (("log_loss", "+.4f"), ("auc", "+.3f"), ("spend_gini", "+.3f"))
_NAMES = {
    PRODUCT: "Lifecycle",
    BTYD: "BG/NBD + Gamma-Gamma",
    PAST: "recency and past spend",
}


def show(terminal: Terminal, evaluation: Mapping[str, Any] | None, every_day: bool = False) -> None:
    """Print an evaluation: its newest day, or every one, and all of them together."""
    if evaluation is None:
        terminal.note(f"grade {NOT_JUDGED.letter}: {NOT_JUDGED.why}")
        return
    for day in evaluation["days"] if every_day else [evaluation]:
        title = f"\nJudged on {day['day']}, {day['customers']:,} customers"
        terminal.table(title, COLUMNS, evaluation_rows(day))
        if every_day:
            terminal.table("", DIFFERENCES, difference_rows(day))
    pooled = evaluation["pooled"]
    if pooled["days"] > 1 or not every_day:
        title = f"\nAll judged days together ({pooled['days']}), 95% intervals over customers"
        terminal.table(title, DIFFERENCES, difference_rows(pooled))
    for sentence in sentences(evaluation):
        terminal.note(sentence)
    terminal.note(f"grade {evaluation['grade']['letter']}: {evaluation['grade']['why']}")
    terminal.note(evaluation["more_data"])


def evaluation_rows(day: Mapping[str, Any]) -> list[list[str]]:
    """Format a day, a row a method; what could not be computed is a dash."""
    return [
        [name, *(number(day["metrics"][method][key], form) for key, form in _SHOWN)]
        for method, name in _NAMES.items()
    ]


def difference_rows(found: Mapping[str, Any]) -> list[list[str]]:
    """Format differences, a row a baseline, with their intervals."""
    return [
        [
            _NAMES[other],
            *(interval(found["differences"][other][key], form) for key, form in _COMPARED),
        ]
        for other in BASELINES
    ]


def sentences(evaluation: Mapping[str, Any]) -> Iterator[str]:
    """Say what the tables leave out: the score, calibration, intervals and totals."""
    pooled, newest = evaluation["pooled"], evaluation["metrics"][PRODUCT]
    skills = pooled["skills"]
    named = ("primary skill", "primary"), ("log loss", "log_loss_skill"), (
        "spend deviance", "spend_deviance_skill"
    )  # fmt: skip
    parts = [f"{label} {skill(skills, key)}" for label, key in named]
    yield f"against the best baseline: {', '.join(parts)}"
    yield (
        f"calibration error {number(newest['calibration_error'], '.3f')} on {evaluation['day']}, "
        f"where chance alone leaves {number(newest['calibration_error_chance_low'], '.3f')} to "
        f"{number(newest['calibration_error_chance_high'], '.3f')}; slope "
        f"{number(newest['calibration_slope'], '.2f')}, intercept "
        f"{number(newest['calibration_intercept'], '+.2f')}; deciles off "
        f"{number(newest['spend_decile_error'], '.2f')}, of which chance alone "
        f"{number(newest['spend_decile_noise'], '.2f')}"
    )
    stages = [
        f"{', '.join(row['stages'])} {row['coverage_90']:.2f}" + (" (few)" * row["pooled"])
        for row in pooled["stages"]
    ]
    yield (
        f"90% intervals cover {pooled['coverage_90']:.3f} over all days ({'; '.join(stages)}); the "
        f"total lay in its interval on {pooled['totals_inside']:.0%} of days"
    )
    if renewals := evaluation.get("renewals"):
        yield renewals_said(renewals)


def renewals_said(quality: Mapping[str, float]) -> str:
    """Say how customers under contract were judged.

    >>> renewals_said({"customers": 900, "days": 3, "lost_said": 0.21, "lost_seen": 0.2,
    ...     "auc": 0.8, "log_loss": 0.4, "log_loss_terms": 0.5, "calibration_error": 0.02})
    'under contract (all else above is of orders): of 900 customers on 3 days 21.0% were said to be
    lost by the end of the horizon and 20.0% were; AUC 0.800, log loss 0.4000 (by the renewal rate
    alone 0.5000), calibration error 0.020'
    """
    return (
        f"under contract (all else above is of orders): of {quality['customers']:,.0f} customers "
        f"on {quality['days']:.0f} days {quality['lost_said']:.1%} were said to be lost by the end "
        f"of the horizon and {quality['lost_seen']:.1%} were; AUC {quality['auc']:.3f}, log loss "
        f"{quality['log_loss']:.4f} (by the renewal rate alone {quality['log_loss_terms']:.4f}), "
        f"calibration error {quality['calibration_error']:.3f}"
    )


def skill(skills: Mapping[str, float | None], key: str) -> str:
    """Format a skill, whose interval stands beside it."""
    bounds = {name: skills[f"{key}_{name}"] for name in ("lower", "upper")}
    return interval({"value": skills[key], **bounds}, "+.3f")


def number(value: float | None, form: str) -> str:
    """Format a number; what could not be computed is a dash."""
    return "–" if value is None else format(value, form)


def interval(estimate: Mapping[str, float | None], form: str) -> str:
    """Format a value with its interval behind it.

    >>> interval({"value": 0.01, "lower": -0.02, "upper": 0.04}, "+.2f")
    '+0.01 (-0.02 to +0.04)'
    >>> interval({"value": None, "lower": None, "upper": None}, "+.2f")
    '–'
    """
    if estimate["value"] is None:
        return "–"
    return (
        f"{number(estimate['value'], form)} ({number(estimate['lower'], form)} to "
        f"{number(estimate['upper'], form)})"
    )
