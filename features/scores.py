"""What a customer's scores are called, wherever they are kept: file, database, feature store.

The models that give them stand above this package; these are the names under which others look
them up. A day's scores are one Parquet file, a row a customer, sorted by customer.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Literal

from features.catalogue import KeyType
from features.workspace import Workspace

VERSION = 5
"""Of the list below: another list is another folder, and another feature service."""
VIEW = "scores"
SERVICE = f"lifecycle_scores_v{VERSION}"

Kind = Literal["number", "whole", "text", "texts", "day", "moment"]


@dataclass(frozen=True)
class ScoreColumn:
    """One column of the scores.

    Attributes
    ----------
    looked_up
        Whether it is in the feature store; sentences are not.
    """

    name: str
    kind: Kind
    meaning: str
    looked_up: bool = True


def _value(months: int) -> tuple[ScoreColumn, ...]:
    return (
        ScoreColumn(f"clv_{months}m", "number", f"value over {months} months, in currency"),
        ScoreColumn(f"clv_{months}m_lower", "number", "lower end of its 90% interval"),
        ScoreColumn(f"clv_{months}m_upper", "number", "upper end of its 90% interval"),
    )


def _spend(end: str, percent: int, suffix: str) -> ScoreColumn:
    return ScoreColumn(
        f"spend_{end}{suffix}", "number", f"{end} end of the {percent}% interval of net spend"
    )


COLUMNS: tuple[ScoreColumn, ...] = (
    ScoreColumn("as_of", "day", "day whose end the scores speak of", looked_up=False),
    ScoreColumn("churn_probability", "number", "chance of no purchase within the horizon"),
    ScoreColumn("expected_spend", "number", "mean net revenue in the horizon, in currency"),
    *(
        _spend(end, percent, suffix)
        for percent, suffix in ((90, ""), (80, "_80"), (50, "_50"))
        for end in ("lower", "upper")
    ),
    *(column for months in (3, 6, 12, 24) for column in _value(months)),
    ScoreColumn(
        "service_saved_12m", "number", "service cost saved within 12 months, part of clv_12m"
    ),
    ScoreColumn("risk_band", "text", "low, mid or high churn probability for this company"),
    ScoreColumn("value_band", "text", "low, mid or high value over 12 months for this company"),
    ScoreColumn(
        "value_tier", "text",
        "diamond, gold, silver or basic, by value over 12 months and profit to date",
    ),
    ScoreColumn(
        "value_at_risk", "number", "value over 12 months times the chance of leaving"
    ),
    ScoreColumn("profit_to_date", "number", "margin so far less all costs that are known"),
    ScoreColumn("margin_to_date", "number", "net spend so far less the cost of goods"),
    ScoreColumn("upkeep_to_date", "number", "service and marketing by the year, while a customer"),
    ScoreColumn("interaction_cost_to_date", "number", "recorded cost of interactions"),
    ScoreColumn("treatment_cost_to_date", "number", "recorded cost of treatments"),
    ScoreColumn("acquisition_cost", "number", "what it cost to win the customer"),
    ScoreColumn("complaint_loss_to_date", "number", "complaints times the loss that is assumed"),
    ScoreColumn(
        "referral_income_to_date", "number",
        "margin of whom the customer brought; theirs, so no part of the profit",
    ),
    ScoreColumn(
        "profit_missing", "texts", "items that are not known, left out of the profit",
        looked_up=False,
    ),
    ScoreColumn(
        "rescue", "text", "for who declines or has left: worth_it, let_go or no_rescue"
    ),
    ScoreColumn("rescue_action", "text", "the best rescue, whatever stands in its way today"),
    ScoreColumn("rescue_cost", "number", "what it costs, contact and expected incentive"),
    ScoreColumn("break_even_cost", "number", "the most that it may cost without losing money"),
    ScoreColumn("break_even_cost_low", "number", "the same at the lowest value of its effect"),
    ScoreColumn("break_even_cost_high", "number", "the same at the highest value of its effect"),
    ScoreColumn("lifecycle_stage", "text", "one of eight stages"),
    ScoreColumn("stage_label", "text", "that in the words that were asked for", looked_up=False),
    ScoreColumn("stage_before", "text", "that in the newest scores of an earlier day"),
    ScoreColumn("stage_rule", "text", "the rule behind the stage", looked_up=False),
    ScoreColumn("reasons", "texts", "why the churn probability is what it is", looked_up=False),
    ScoreColumn("reasons_method", "text", "fast, exact or none", looked_up=False),
    ScoreColumn("action", "text", "what is worth most over the horizon, or none"),
    ScoreColumn("action_name", "text", "its name in the language of the scores", looked_up=False),
    ScoreColumn("action_offer", "text", "the category or tier that it names, if it names one"),
    ScoreColumn("action_offer_why", "text", "why it is that", looked_up=False),
    ScoreColumn("action_value", "number", "its incremental value net of cost, in currency"),
    ScoreColumn("action_value_low", "number", "lowest value within the range of its effect"),
    ScoreColumn("action_value_high", "number", "highest value within the range of its effect"),
    ScoreColumn("action_effect", "text", "assumed, measured, or mixed of both"),
    ScoreColumn("action_measured_share", "number", "how much of the effect is measured, 0 to 1"),
    ScoreColumn("action_note", "text", "why this action, or none", looked_up=False),
    ScoreColumn("flags", "texts", "what to keep in mind", looked_up=False),
    ScoreColumn("decision_id", "text", "names the decision; the endpoint gives the same"),
    ScoreColumn("model_version", "whole", "the registry's version of the model"),
    ScoreColumn("model_kind", "text", "lightgbm, or btyd where the prior answers itself"),
    ScoreColumn("playbook_version", "text", "digest of the playbook's content"),
    ScoreColumn("stage_rules_version", "text", "digest of the stages' rules"),
    ScoreColumn("feature_service", "text", "the model's versioned input", looked_up=False),
    ScoreColumn("scored_at", "moment", "when the scores were computed (UTC)"),
    ScoreColumn(
        "event_timestamp", "moment", "last moment of the day (UTC), as in a snapshot",
        looked_up=False,
    ),
)  # fmt: skip
LOOKED_UP = tuple(column for column in COLUMNS if column.looked_up)


def scores_folder(workspace: Workspace, key_type: KeyType) -> Path:
    """Where the scores of one schema stand: a list's version and a type of key have their own."""
    return workspace.scores / f"v{VERSION}_{key_type}_ids"


def scores_path(workspace: Workspace, key_type: KeyType, as_of: date) -> Path:
    """Where the scores of a day stand."""
    return scores_folder(workspace, key_type) / f"{as_of.isoformat()}.parquet"


def scored_days(workspace: Workspace, key_type: KeyType) -> list[date]:
    """List the days that have been scored, the oldest first."""
    names = sorted(path.stem for path in scores_folder(workspace, key_type).glob("[!.]*.parquet"))
    return [date.fromisoformat(name) for name in names]
