"""The JSON schema of playbooks, by which editors complete and check one as it is typed."""

from __future__ import annotations

import json
from typing import Any

from serving.playbook import NEEDS, SHIPPED, Playbook
from serving.segments import BANDED, LABELLED, MEANINGS, Range
from training.stages import STAGES

SCHEMA_FILE = SHIPPED.with_name("playbook.schema.json")


def playbook_schema() -> dict[str, Any]:
    """Make the schema from the models.

    What it cannot say (which keys are used twice, what comes after what) is said by
    `lifecycle playbook check`.

    >>> schema = playbook_schema()
    >>> schema["required"], "retention_offer" in str(schema["$defs"]["Action"]["examples"])
    (['actions', 'service_standards'], True)
    """
    schema = Playbook.model_json_schema()
    kinds = schema["$defs"]
    _hide_titles(schema)
    action = kinds["Action"]["properties"]
    action["segments"] = _segments(action["segments"])
    action["needs"]["items"] = {
        "oneOf": [{"const": need, "description": what} for need, what in NEEDS.items()]
    }
    kinds["Action"]["examples"] = [_example()]
    kinds["Action"]["dependentRequired"] = {"incentive": ["redemption_rate"]}
    kinds["Incentive"] |= {"minProperties": 1, "maxProperties": 1}
    kinds["Range"] = Range.model_json_schema() | {"minProperties": 1}
    for fact, values in BANDED.items():
        kinds[_kind(fact)] = {"type": "array", "items": {"enum": [*values]}, "minItems": 1}
    text = {"type": "string", "minLength": 1}
    kinds["Labels"] = {"type": "array", "items": text, "minItems": 1}
    _hide_titles(kinds["Range"])
    standards = schema["properties"]["service_standards"]
    standards["required"] = [*STAGES]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Lifecycle playbook",
        **schema,
    }


def schema_text() -> str:
    """Write the schema as the file that is shipped."""
    return json.dumps(playbook_schema(), indent=1, ensure_ascii=False) + "\n"


def _segments(entry: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "description": entry["description"],
        "additionalProperties": False,
        "properties": {
            fact: {"$ref": f"#/$defs/{_kind(fact)}", "description": meaning}
            for fact, meaning in MEANINGS.items()
        },
        "examples": [{"risk_band": ["mid", "high"], "clv_12m": {"at_least": 50}}],
    }


def _kind(fact: str) -> str:
    if fact in BANDED:
        return fact.title().replace("_", "")
    return "Labels" if fact in LABELLED else "Range"


def _example() -> dict[str, Any]:
    """Show an action as short as it may be, with the entries that decide most."""
    return {
        "key": "retention_offer",
        "name_en": "Retention offer",
        "name_zh": "挽留优惠",
        "purpose": "marketing",
        "stages": ["declining"],
        "channel": "email",
        "contact_cost": 0.03,
        "incentive": {"share_of_order": 0.1},
        "redemption_rate": 0.5,
        "lift_log_odds": {"low": -0.05, "mid": 0.35, "high": 0.6},
        "lift_spend": {"low": -0.05, "mid": 0.0, "high": 0.03},
        "cooldown_days": 60,
    }


def _hide_titles(node: Any) -> None:  # noqa: ANN401 - of JSON
    """Leave out the titles that only repeat the names of entries."""
    if isinstance(node, dict):
        if isinstance(node.get("title"), str):
            del node["title"]
        for child in node.values():
            _hide_titles(child)
    elif isinstance(node, list):
        for child in node:
            _hide_titles(child)
