"""What the endpoint is asked and what it answers: strict, and the source of its OpenAPI page."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Struct

from features import catalogue
from features.ingest.contract import Table
from serving.reasons import Reasons
from serving.sentences import Language
from training.stages import Vocabulary

MOST_ROWS = 1000
MOST_EXACT = 100
"""Rows of a request for exact reasons: with large trees there are about a hundred a second."""

GIVEN = tuple(name for name in catalogue.NAMES if name != "as_of_day")
"""The features of a row in a request; the day of the snapshot is its own field."""

CustomerId = int | str

ReasonsAsked = Annotated[
    Reasons,
    Meta(
        description="fast: approximate, along the trees' paths; exact: by TreeSHAP, for at most "
        f"{MOST_EXACT} customers a request; none: left out"
    ),
]
LanguageAsked = Annotated[
    Language, Meta(description="of the reasons and of the stage's rule: English or Chinese")
]


VocabularyAsked = Annotated[
    Vocabulary,
    Meta(description="whose words stage_label is in; default: serving.vocabulary in the settings"),
]


class CustomersRequest(Struct, forbid_unknown_fields=True):
    """Customers to score from the online feature store."""

    customer_ids: Annotated[
        list[CustomerId],
        Meta(
            min_length=1,
            max_length=MOST_ROWS,
            description=f"1 to {MOST_ROWS} customer ids",
            examples=[[1, 2]],
        ),
    ]
    reasons: ReasonsAsked = "fast"
    lang: LanguageAsked | None = None
    vocabulary: VocabularyAsked | None = None


def _feature_properties() -> dict[str, Any]:
    """Each feature by name with its type: the categories are texts, all others numbers."""
    return {
        feature.name: {
            "type": ["string" if feature.kind == "category" else "number", "null"],
            "description": f"{feature.meaning} ({feature.unit})",
            **({"enum": [0, 1, None]} if feature.unit == catalogue.YES_OR_NO else {}),
        }
        for feature in catalogue.FEATURES
        if feature.name in GIVEN
    }


class FeatureRow(Struct, forbid_unknown_fields=True):
    """One customer's features at the end of a day."""

    as_of: Annotated[
        str, Meta(pattern=r"^\d{4}-\d{2}-\d{2}$", description="the features' day, YYYY-MM-DD")
    ]
    features: Annotated[
        dict[str, float | str | None],
        Meta(
            description="every feature of the catalogue by name: text for the categories, a number "
            "for the others; null where it is unknown",
            extra_json_schema={
                "properties": _feature_properties(),
                "required": list(GIVEN),
            },
        ),
    ]
    customer_id: CustomerId | None = None


class FeaturesRequest(Struct, forbid_unknown_fields=True):
    """Feature rows to score as they are."""

    rows: Annotated[list[FeatureRow], Meta(min_length=1, max_length=MOST_ROWS)]
    reasons: ReasonsAsked = "fast"
    lang: LanguageAsked | None = None
    vocabulary: VocabularyAsked | None = None


class EventsRequest(Struct, forbid_unknown_fields=True):
    """Events as they happened, all of one table of the data contract."""

    table: Annotated[
        Table, Meta(description="orders, customers, interactions, treatments or contracts")
    ]
    rows: Annotated[
        list[dict[str, str | int | float | bool | None]],
        Meta(
            min_length=1,
            max_length=MOST_ROWS,
            description="the contract's columns by name; times in ISO 8601",
            examples=[[{"customer_id": 1, "ordered_at": "2024-06-30T12:00:00Z", "amount": 20}]],
        ),
    ]
    idempotency_key: (
        Annotated[
            str,
            Meta(
                min_length=1,
                max_length=200,
                description="names this push, so that a retry changes nothing; default: its "
                "content",
            ),
        ]
        | None
    ) = None


class ForesightRequest(Struct, forbid_unknown_fields=True):
    """A customer with events that have just happened, or might; nothing of it is kept as a fact."""

    customer_id: CustomerId
    events: Annotated[
        dict[Table, list[dict[str, str | int | float | bool | None]]],
        Meta(
            min_length=1,
            description="rows by table of the contract, beside all that is stored of the customer",
            examples=[{"orders": [{"ordered_at": "2024-06-30T12:00:00Z", "amount": 20}]}],
        ),
    ]
    reasons: ReasonsAsked = "fast"
    lang: LanguageAsked | None = None
    vocabulary: VocabularyAsked | None = None


class RejectedEvent(Struct):
    """An event that cannot be a fact."""

    row: Annotated[int, Meta(description="its place in the request, from 1")]
    reason: str
    remedy: str


class TouchedCustomer(Struct):
    """A customer whose features an event changed."""

    customer_id: CustomerId
    as_of: Annotated[
        str | None, Meta(description="the day that the row online is of now; null: none is online")
    ]


class EventsResponse(Struct):
    """What became of the events; whatever was accepted is kept and already answered for."""

    request_id: str
    table: str
    idempotency_key: str
    repeated: Annotated[bool, Meta(description="it was there already, so that nothing changed")]
    accepted: int
    rejected: list[RejectedEvent]
    customers: list[TouchedCustomer]


class RankedAction(Struct):
    """An action that is worth more than doing nothing."""

    action: str
    value: Annotated[float, Meta(description="incremental value over the horizon, net of costs")]
    value_low: Annotated[float, Meta(description="at the worst within the range of its effect")]
    value_high: float
    effect: Annotated[
        str, Meta(description="where the effect comes from: assumed, measured, or mixed of both")
    ]
    measured_share: Annotated[
        float, Meta(description="how much of the effect is measured, 0 to 1; the rest is assumed")
    ]
    name: str
    offer: Annotated[str | None, Meta(description="the category or tier that it names")]


class Answer(Struct):
    """What is said of one customer; money in the workspace's currency."""

    customer_id: CustomerId | None
    decision_id: Annotated[
        str,
        Meta(description="names the decision: the same facts, answered by the same models"),
    ]
    as_of: str
    churn_probability: float
    expected_spend: float
    spend_lower: Annotated[float, Meta(description="90% interval of the net spend to be seen")]
    spend_upper: float
    spend_lower_80: float
    spend_upper_80: float
    spend_lower_50: float
    spend_upper_50: float
    clv_3m: Annotated[
        float, Meta(description="net present value of the margin to come, less costs")
    ]
    clv_3m_lower: Annotated[
        float, Meta(description="90% interval by the purchase process; no coverage is claimed")
    ]
    clv_3m_upper: float
    clv_6m: float
    clv_6m_lower: float
    clv_6m_upper: float
    clv_12m: float
    clv_12m_lower: float
    clv_12m_upper: float
    clv_24m: float
    clv_24m_lower: float
    clv_24m_upper: float
    service_saved_12m: Annotated[
        float, Meta(description="service cost saved within 12 months, part of clv_12m")
    ]
    lifecycle_stage: str
    stage_label: Annotated[
        str, Meta(description="the stage in the vocabulary and language that were asked for")
    ]
    stage_before: Annotated[
        str | None,
        Meta(description="the stage in the newest scores of an earlier day; null: there are none"),
    ]
    stage_rule: str
    risk_band: Annotated[
        str | None, Meta(description="low, mid or high for this company; null without an order")
    ]
    value_band: str | None
    value_tier: Annotated[
        str | None,
        Meta(
            description="diamond, gold, silver or basic, by value over 12 months and profit to "
            "date; null without an order"
        ),
    ]
    value_at_risk: Annotated[
        float | None,
        Meta(description="value over 12 months times the chance of leaving"),
    ]
    profit_to_date: Annotated[
        float | None, Meta(description="margin so far less all costs that are known")
    ]
    margin_to_date: Annotated[float | None, Meta(description="net spend less cost of goods")]
    upkeep_to_date: Annotated[
        float | None, Meta(description="service and marketing by the year, while a customer")
    ]
    interaction_cost_to_date: float | None
    treatment_cost_to_date: float | None
    acquisition_cost: float | None
    complaint_loss_to_date: float | None
    referral_income_to_date: Annotated[
        float | None,
        Meta(description="margin of whom the customer brought; theirs, so no part of the profit"),
    ]
    profit_missing: Annotated[
        list[str], Meta(description="items that are not known, left out of the profit")
    ]
    rescue: Annotated[
        str | None,
        Meta(description="for who declines or has left: worth_it, let_go or no_rescue"),
    ]
    rescue_action: Annotated[
        str | None, Meta(description="the best rescue, whatever stands in its way today")
    ]
    rescue_cost: Annotated[
        float | None, Meta(description="what it costs, contact and expected incentive")
    ]
    break_even_cost: Annotated[
        float | None, Meta(description="the most that it may cost without losing money")
    ]
    break_even_cost_low: Annotated[
        float | None, Meta(description="the same at the lowest value of its effect")
    ]
    break_even_cost_high: float | None
    reasons: list[str]
    reasons_method: Annotated[
        Reasons, Meta(description="how the reasons were found, as the request asked")
    ]
    action: str
    action_name: Annotated[str, Meta(description="its name, in the language asked for")]
    action_offer: Annotated[
        str | None,
        Meta(description="the category or tier that it names; null where nothing is clear"),
    ]
    action_offer_why: str | None
    action_value: float
    action_value_low: float
    action_value_high: float
    action_effect: str
    action_measured_share: float
    action_note: str
    actions: Annotated[
        list[RankedAction], Meta(description="the best, at most 3; empty where nothing is best")
    ]
    flags: list[str]


class Versions(Struct):
    """What answered."""

    model: int
    model_kind: str
    trained_as_of: str
    horizon_days: int
    feature_service: str
    playbook: str
    stage_rules: str
    currency: str


class FeatureState(Struct):
    """Of when the features online are; an answer's own day may be newer, by events since."""

    as_of: Annotated[str, Meta(description="the last closed day that is online")]
    age_days: int
    stale: Annotated[bool, Meta(description="older than serving.stale_days")]
    tables: Annotated[list[str], Meta(description="the tables that the model has learned from")]
    missing_tables: Annotated[
        list[str], Meta(description="tables of the contract that would tell it more")
    ]


class ScoreResponse(Struct):
    """Answers in the order of the request, without the customers that are not known."""

    request_id: str
    versions: Versions
    features: FeatureState
    results: list[Answer]
    unknown_customers: list[CustomerId]


class PastAnswer(Struct):
    """What was said of a customer before."""

    at: str
    by: Annotated[str, Meta(description="endpoint or batch")]
    as_of: str
    decision_id: str
    model_version: int
    churn_probability: float
    expected_spend: float
    clv_12m: float
    lifecycle_stage: str
    action: str


class NextStage(Struct):
    """A stage that a customer can be in a horizon from now."""

    stage: str
    probability: float
    low: Annotated[float, Meta(description="90% interval")]
    high: float


class CustomerView(Struct):
    """All that is known and said of one customer."""

    request_id: str
    versions: Versions
    features: FeatureState
    answer: Annotated[Answer, Meta(description="with exact reasons")]
    facts: Annotated[
        dict[str, float | str | None], Meta(description="every feature that the answer rests on")
    ]
    history: Annotated[list[PastAnswer], Meta(description="newest first")]
    next_stages: Annotated[
        list[NextStage],
        Meta(
            description="where customers of this stage and churn probability were a horizon later, "
            "the likeliest first; empty until `lifecycle stages` has counted it"
        ),
    ]


class StateResponse(Struct):
    """What answers now."""

    request_id: str
    versions: Versions
    features: FeatureState
    shadow: Annotated[int | None, Meta(description="version that is scored beside it")]
    problem: Annotated[str, Meta(description="why what is newer does not answer; empty: nothing")]


class Problem(Struct):
    """Why there is no answer."""

    code: str
    message: str
    request_id: str


class ErrorResponse(Struct):
    """The one envelope of every error."""

    error: Problem
