"""The eight lifecycle stages, in the order of a customer's life, and what others call them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

from training.wording import Language

Vocabulary = Literal["stages", "four_way", "acquisition_retention", "relationship", "journey"]
"""Whose words a stage is told in: ours, or one of the coarser schemes of practice."""
VOCABULARIES: tuple[Vocabulary, ...] = get_args(Vocabulary)

_NAMES: Mapping[str, tuple[tuple[str, str], ...]] = {
    "prospect_aware": (
        ("Prospect, aware", "潜在客户·认知"),
        ("Prospect", "潜在客户"),
        ("Prospect stage", "潜在客户阶段"),
        ("Exploration", "考察期"),
        ("Awareness", "认知阶段"),
    ),
    "prospect_considering": (
        ("Prospect, considering", "潜在客户·考虑"),
        ("Prospect", "潜在客户"),
        ("Acquisition", "客户获取阶段"),
        ("Exploration", "考察期"),
        ("Consideration", "考虑阶段"),
    ),
    "churned": (
        ("Churned", "流失客户"),
        ("Lost customer", "流失客户"),
        ("Loss", "客户流失阶段"),
        ("Decline (recovery or end)", "衰退期（恢复或终止）"),
        ("Lost", "已流失"),
    ),
    "won_back": (
        ("Won back", "挽回客户"),
        ("Loyal customer", "忠实客户"),
        ("Loss (returned)", "客户流失阶段（回归）"),
        ("Recovery", "恢复期"),
        ("Loyalty", "忠诚阶段"),
    ),
    "new": (
        ("New", "新客户"),
        ("New customer", "新客户"),
        ("Acquisition", "客户获取阶段"),
        ("Exploration", "考察期"),
        ("Decision", "决策阶段"),
    ),
    "declining": (
        ("Declining", "衰退期客户"),
        ("Loyal customer (at risk)", "忠实客户（有风险）"),
        ("Retention", "客户维护阶段"),
        ("Decline", "衰退期"),
        ("Loyalty", "忠诚阶段"),
    ),
    "loyal": (
        ("Loyal", "忠实客户"),
        ("Loyal customer", "忠实客户"),
        ("Retention", "客户维护阶段"),
        ("Stability", "稳定期"),
        ("Loyalty", "忠诚阶段"),
    ),
    "developing": (
        ("Developing", "发展期客户"),
        ("Loyal customer", "忠实客户"),
        ("Development", "客户发展阶段"),
        ("Growth", "发展期"),
        ("Decision", "决策阶段"),
    ),
}
"""For each stage its name in each vocabulary, in English and Simplified Chinese."""
STAGES: tuple[str, ...] = tuple(_NAMES)


def stage_labels(vocabulary: Vocabulary, language: Language) -> tuple[str, ...]:
    """Name each of :data:`STAGES` in a vocabulary; coarser ones name several alike.

    >>> stage_labels("four_way", "en")[2:6]
    ('Lost customer', 'Loyal customer', 'New customer', 'Loyal customer (at risk)')
    >>> stage_labels("relationship", "zh")[-1]
    '发展期'
    """
    place, side = VOCABULARIES.index(vocabulary), ("en", "zh").index(language)
    return tuple(names[place][side] for names in _NAMES.values())
