"""Clusters of behaviour in words: what sets each apart most, with what is usual beside it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from serving.numerals import SPELLERS
from serving.sentences import Language
from training.segments.fit import Clusters

TOLD = 3
"""Traits that describe a cluster, the most telling first."""
APART = 0.4
"""Standard deviations from the mean from which on a trait sets a cluster apart."""


@dataclass(frozen=True)
class Phrase:
    """How a trait is told where it is above the usual, and below, and in which unit."""

    more: str
    less: str
    unit: str
    form: str = ""


PHRASES: Mapping[Language, Mapping[str, Phrase]] = {
    "en": {
        "purchase_days": Phrase("buy often", "buy rarely", "purchase days"),
        "recency_days": Phrase("silent for long", "bought lately", "days ago"),
        "tenure_days": Phrase("customers for long", "customers since lately", "days"),
        "order_value_mean": Phrase("large baskets", "small baskets", "{currency}"),
        "lines_per_purchase": Phrase("many products at once", "few products at once", "lines"),
        "categories": Phrase("broad taste", "narrow taste", "categories"),
        "interactions_365d": Phrase("much contact", "little contact", "interactions in a year"),
        "discount_share": Phrase("buy on discount", "pay the full price", "discount", "percent"),
        "returns_share": Phrase("send much back", "send little back", "returned", "percent"),
    },
    "zh": {
        "purchase_days": Phrase("购买频繁", "很少购买", "个购买日"),
        "recency_days": Phrase("久未购买", "最近买过", "天前"),
        "tenure_days": Phrase("老客户", "新近客户", "天"),
        "order_value_mean": Phrase("客单价高", "客单价低", "{currency}"),
        "lines_per_purchase": Phrase("一次买多件", "一次买少件", "行"),
        "categories": Phrase("品类广", "品类窄", "个品类"),
        "interactions_365d": Phrase("互动多", "互动少", "次互动（一年内）"),
        "discount_share": Phrase("偏爱折扣", "常付原价", "折扣", "percent"),
        "returns_share": Phrase("退货多", "退货少", "退货", "percent"),
    },
}
_USUAL = {
    "en": "{what} ({own} {unit}; usual {usual})",
    "zh": "{what}（{own} {unit}，通常 {usual}）",
}
_PLAIN = {"en": "like most", "zh": "与多数客户相似"}
_COMMA = {"en": ", ", "zh": "，"}


def describe(clusters: Clusters, language: Language, currency: str) -> list[str]:
    """Describe each cluster by what sets it apart most.

    Returns
    -------
    list of str
        As ``buy often (6 purchase days; usual 2), small baskets (12 EUR; usual 25)``.
    """
    told = []
    for centre, typical in zip(clusters.centres, clusters.typical, strict=True):
        order = sorted(range(len(centre)), key=lambda place: -abs(centre[place]))
        parts = [
            _phrase(
                clusters.traits.names[place],
                float(centre[place]),
                (float(typical[place]), float(clusters.usual[place])),
                language,
                currency,
            )
            for place in order[:TOLD]
            if abs(centre[place]) >= APART
        ]
        told.append(_COMMA[language].join(parts) or _PLAIN[language])
    return told


def _phrase(
    name: str, away: float, medians: tuple[float, float], language: Language, currency: str
) -> str:
    phrase = PHRASES[language][name]
    spell = SPELLERS[phrase.form]
    what = phrase.more if away > 0 else phrase.less
    own, usual = ("?" if math.isnan(value) else spell(value) for value in medians)
    # Means differ where medians are the same: then the figures would only puzzle.
    if own == usual:
        return what
    unit = phrase.unit.format(currency=currency)
    return _USUAL[language].format(what=what, own=own, unit=unit, usual=usual)
