"""The eight lifecycle stages, in the order of a customer's life."""

from __future__ import annotations

from collections.abc import Mapping

STAGE_NAMES_ZH: Mapping[str, str] = {
    "prospect_aware": "潜在客户·认知",
    "prospect_considering": "潜在客户·考虑",
    "churned": "流失客户",
    "won_back": "挽回客户",
    "new": "新客户",
    "declining": "衰退期客户",
    "loyal": "忠实客户",
    "developing": "发展期客户",
}
STAGES: tuple[str, ...] = tuple(STAGE_NAMES_ZH)
