"""A run in words: what it learned from, what that is worth, and where to look."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from features.settings import Settings
from training.answers import PRODUCT
from training.evaluation import Evaluation
from training.findings import DayEvaluation
from training.plots.album import QUESTIONS
from training.plots.canvas import NAMES
from training.tracking import drift as moved
from training.tracking.drift import Drift
from training.tracking.training import Training
from training.uplift.lifts import Lifts

COLUMNS = {
    "auc": ("AUC", ".3f"),
    "log_loss": ("log loss", ".4f"),
    "spend_gini": ("Gini of spend", ".3f"),
    "spend_deviance": ("spend deviance", ".2f"),
    "interval_score_90": ("interval score", ".1f"),
}
SKILLS = {
    "primary": "Primary skill",
    "log_loss_skill": "Churn (log loss)",
    "spend_deviance_skill": "Spend (deviance)",
}


def note(
    training: Training, settings: Settings, drift: Drift | None, pictures: Sequence[str]
) -> str:
    """Write a run's note in Markdown; the same describes the registered version."""
    parts = [
        *_worth(training),
        *_learned_from(training, settings),
        *_effects(training.bundle.lifts),
        "### What has moved since the champion",
        *(f"- {line}" for line in moved.words(drift)),
        "",
        "### Where to look",
        "Under Artifacts: `judged.json` (a table of ours beside the baselines, day by day), "
        "`features.csv` (where each feature comes from), `evaluation.json` (every measure of every "
        "day), `tuning` (each trial), and in `plots`:",
        "",
        *(f"- `{name}.png`: {QUESTIONS[name]}" for name in pictures),
    ]
    return "\n".join(parts) + "\n"


def _worth(training: Training) -> Iterator[str]:
    evaluation = training.evaluation
    if evaluation is None:
        yield "Not judged: history is too short to keep a day to judge by.\n"
        return
    grade = evaluation.grade
    yield f"Grade {grade.letter}: {grade.why}.\n"
    if training.bundle.kind == "btyd":
        yield "The trees did not beat BG/NBD + Gamma-Gamma, which therefore answer here.\n"
    yield "### What it is worth"
    yield "Against the best baseline on the same customers and days; 95% intervals over customers:"
    yield ""
    for key, words in SKILLS.items():
        yield f"- {words}: {evaluation.pooled.skills[key]} of the best baseline's loss saved"
    yield ""
    yield from _beside(evaluation)
    yield f"{evaluation.more_data[0].upper()}{evaluation.more_data[1:]}.\n"


def _beside(evaluation: Evaluation) -> Iterator[str]:
    newest, pooled = evaluation.newest, evaluation.pooled
    yield f"Raw figures of {days_of(evaluation.days)}, to be read beside one another only:"
    yield ""
    # A block of code: MLflow's page leaves no room between the columns of a table.
    yield "```"
    yield " " * 22 + "".join(f"{name:>15}" for name, _ in COLUMNS.values())
    for method, name in NAMES.items():
        values = [f"{pooled.metrics[method][m]:{how}}" for m, (_, how) in COLUMNS.items()]
        yield f"{name:<22}" + "".join(f"{value:>15}" for value in values)
    yield "```"
    yield ""
    ours = newest.metrics[PRODUCT]
    yield (
        f"On {newest.day}, the newest, spend said was {ours['spend_total_ratio']:.2f} of that "
        f"seen, and the 90% intervals held {ours['coverage_90']:.1%} of outcomes.\n"
    )


def _learned_from(training: Training, settings: Settings) -> Iterator[str]:
    bundle, matured = training.bundle, training.learned.calendar.matured
    days = f"{len(matured)} day{'s' * (len(matured) != 1)}"
    yield "### What it learned from"
    yield (
        f"- {training.rows:,} snapshots of the customers of {settings.data.name} on {days} from "
        f"{matured[0]} to {matured[-1]}, and what they did in the {bundle.horizon_days} days after "
        f"each, as known by {bundle.as_of}"
    )
    yield f"- Tables with data: {', '.join(sorted(bundle.data_available))}"
    yield f"- Feature service `{bundle.feature_service}`, data `{training.fingerprint}`\n"


def _effects(lifts: Lifts) -> Iterator[str]:
    """Say what actions were seen to change, where any was tried; `effects.json` has it all."""
    if not lifts.tried:
        return
    yield "### What actions change"
    yield "Everybody's net spend within the horizon, treated against control, with 95% intervals:"
    yield ""
    for one in lifts.tried:
        if one.lift is None:
            yield f"- {one.action}: not measured; {one.why}"
        else:
            level = one.lift.level
            value, lower, upper = (
                f"{np.expm1(end):+.1%}" for end in (level.value, level.lower, level.upper)
            )
            yield f"- {one.action}: {value} ({lower} to {upper}), {one.treated:,} treated"
    yield ""


def days_of(days: Sequence[DayEvaluation]) -> str:
    """Name judged days, and how many customers they had.

    The days are part of every raw figure: one of another day is another question.
    """
    customers = sum(day.customers for day in days)
    named = ", ".join(day.day.isoformat() for day in days)
    return f"{named} ({customers:,} customers and days)"
