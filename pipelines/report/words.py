"""Numbers, days and names as people of a language write them, and the report's own words."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from pipelines.report.periods import Period
from pipelines.report.points import Point, Unit
from serving.sentences import Language
from training.stages import STAGES, Vocabulary, stage_labels
from training.tiers import TIER_NAMES

_SIGNS = {"EUR": "€", "USD": "$", "GBP": "£", "CNY": "¥", "JPY": "¥", "INR": "₹"}
_CALLED = {"EUR": "欧元", "USD": "美元", "GBP": "英镑", "CNY": "元", "JPY": "日元", "HKD": "港元"}
_LONG = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September",
    "October", "November", "December",
)  # fmt: skip
_QUARTERS = "一二三四"
_MINUS = "−"


@lru_cache
def load_words(language: Language) -> Mapping[str, Any]:
    """Read the words of a language."""
    file = Path(__file__).with_name(f"words_{language}.yaml")
    words: Mapping[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    return words


@dataclass(frozen=True)
class Words:
    """Says things in one language.

    Examples
    --------
    >>> english, chinese = (Words(language, "GBP") for language in ("en", "zh"))
    >>> english.money(436546.15), english.about(436546.15), chinese.about(436546.15)
    ('£436,546', '£437,000', '43.7 万英镑')
    >>> english.money(4.5), chinese.money(-4.5), english.share(0.1234), english.share(0.9999)
    ('£4.50', '−4.50 英镑', '12.3%', '>99.9%')
    >>> english.day(date(2011, 2, 28)), chinese.day(date(2011, 2, 28))
    ('28 February 2011', '2011 年 2 月 28 日')
    """

    language: Language
    currency: str
    vocabulary: Vocabulary = "stages"

    @property
    def said(self) -> Mapping[str, Any]:
        """The words of ``words_*.yaml``."""
        return load_words(self.language)

    def __getitem__(self, key: str) -> Any:  # noqa: ANN401 - of YAML
        return self.said[key]

    def tell(self, key: str, **given: object) -> str:
        """Fill in a sentence; ``key`` may name a place in a section, as in ``findings.none``."""
        found: Any = self.said
        for part in key.split("."):
            found = found[part]
        return self.spaced(str(found).format(**given))

    def spaced(self, said: str) -> str:
        """Set Chinese as it is set: a space between ideographs and letters or digits alone.

        >>> Words("zh", "EUR").spaced("以2025 年 3 月 31 日 为准，共3位")
        '以 2025 年 3 月 31 日为准，共 3 位'
        """
        if self.language != "zh":
            return said
        said = re.sub(r"(?<=[\u4e00-\u9fff，。；：]) +(?=[\u4e00-\u9fff])", "", said)
        said = re.sub(r"(?<=[，。；：、（]) +|(?<=[\u4e00-\u9fff]) +(?=[，。；：、）])", "", said)
        said = re.sub(r"(?<=[\u4e00-\u9fff])(?=[0-9A-Za-z+−<>£$€¥])", " ", said)
        return re.sub(r"(?<=[0-9A-Za-z%])(?=[\u4e00-\u9fff])", " ", said)

    def stage(self, stage: str) -> str:
        """Name a stage."""
        return stage_labels(self.vocabulary, self.language)[STAGES.index(stage)]

    def tier(self, tier: str | None) -> str:
        """Name a value tier."""
        return "–" if tier is None else TIER_NAMES[self.language][tier]

    def count(self, value: float) -> str:
        """Spell a whole number.

        >>> Words("en", "EUR").count(-1234)
        '−1,234'
        """
        return f"{value:,.0f}".replace("-", _MINUS)

    def number(self, value: float) -> str:
        """Spell a number that is no count."""
        digits = 0 if abs(value) >= 1000 else 1 if abs(value) >= 10 else 2
        return f"{value:,.{digits}f}".replace("-", _MINUS)

    def share(self, value: float, digits: int = 1) -> str:
        """Spell a share."""
        if 0.9995 < value < 1:
            return ">99.9%"
        if 0 < value < 0.0005:
            return "<0.1%"
        return f"{100 * value:.{digits}f}%".replace("-", _MINUS)

    def money(self, value: float) -> str:
        """Spell an amount, to the cent where it is small."""
        digits = 2 if abs(value) < 100 else 0
        return self._of_currency(f"{abs(value):,.{digits}f}", value)

    def axis(self, value: float) -> str:
        """Spell an amount beside an axis.

        >>> [Words("en", "EUR").axis(value) for value in (0, 2.5, 500, -1500)]
        ['€0', '€2.50', '€500', '−\u2060€1,500']
        """
        digits = 2 if 0 < abs(value) < 10 and value != round(value) else 0
        return self._of_currency(f"{abs(value):,.{digits}f}", value)

    def customers(self, n: int) -> str:
        """Spell a number of customers.

        >>> Words("en", "EUR").customers(1), Words("zh", "EUR").customers(2)
        ('1 customer', '2 位客户')
        """
        return self.tell("one_customer" if n == 1 else "many_customers", n=self.count(n))

    def about(self, value: float) -> str:
        """Spell an amount for a sentence, three digits of it."""
        if abs(value) < 100:
            return self.money(value)
        size = 10 ** (int(math.log10(abs(value))) - 2)
        near = round(abs(value) / size) * size
        if self.language == "zh" and near >= 100_000_000:
            return self._of_currency(f"{near / 1e8:.4g} 亿", value)
        if self.language == "zh" and near >= 10_000:
            return self._of_currency(f"{near / 1e4:.4g} 万", value)
        if near >= 1_000_000:
            return self._of_currency(f"{near / 1e6:.3g} million", value)
        return self._of_currency(f"{near:,.0f}", value)

    def _of_currency(self, spelled: str, value: float) -> str:
        sign = _MINUS if value < 0 and spelled.strip("0.,") else ""
        if self.language == "zh":
            called = _CALLED.get(self.currency, self.currency)
            return (
                f"{sign}{spelled}{called}" if spelled[-1] in "万亿" else f"{sign}{spelled} {called}"
            )
        mark = _SIGNS.get(self.currency)
        # Between a sign and a currency a line may break, unless it is told not to.
        glued = f"{sign}\u2060" if sign and mark else sign
        return f"{glued}{mark}{spelled}" if mark else f"{sign}{spelled} {self.currency}"

    def seconds(self, value: float) -> str:
        """Spell a time in minutes and seconds."""
        whole = round(value)
        return f"{whole // 60}:{whole % 60:02d}"

    def value(self, unit: Unit, value: float | None) -> str:
        """Spell a value by its unit; a dash where it is not known."""
        if value is None:
            return "–"
        return {
            "share": self.share,
            "count": self.count,
            "money": self.money,
            "number": self.number,
            "days": self.count,
            "seconds": self.seconds,
        }[unit](value)

    def interval(self, unit: Unit, point: Point) -> str:
        """Spell both ends of an interval."""
        if point.low is None or point.high is None:
            return ""
        low, high = self.value(unit, point.low), self.value(unit, point.high)
        return self.tell("to", low=low, high=high)

    def signed(self, value: float, unit: Unit = "share") -> str:
        """Spell a change, with its sign.

        >>> Words("zh", "EUR").signed(0.031), Words("en", "EUR").signed(-0.5)
        ('+3.1%', '−50.0%')
        """
        spelled = self.value(unit, abs(value)) if unit != "share" else f"{abs(100 * value):.1f}%"
        return f"{'+' if value >= 0 else _MINUS}{spelled}"

    def points(self, value: float) -> str:
        """Spell a change of a share, in points.

        >>> Words("en", "EUR").points(-0.0314)
        '−3.1'
        """
        return f"{'+' if value >= 0 else _MINUS}{abs(100 * value):.1f}"

    def day(self, day: date) -> str:
        """Spell a day."""
        if self.language == "zh":
            return f"{day.year} 年 {day.month} 月 {day.day} 日"
        return f"{day.day} {_LONG[day.month - 1]} {day.year}"

    def short_day(self, day: date) -> str:
        """Spell a day where there is little room."""
        if self.language == "zh":
            return f"{day.year % 100:02d}年{day.month}月{day.day}日"
        return f"{day.day} {_LONG[day.month - 1][:3]} {day.year % 100:02d}"

    def period(self, period: Period) -> str:
        """Name a period."""
        first = period.first
        if period.kind == "week":
            return self.tell("week_of", day=self.day(first))
        if period.kind == "month":
            if self.language == "zh":
                return f"{first.year} 年 {first.month} 月"
            return f"{_LONG[first.month - 1]} {first.year}"
        quarter = (first.month + 2) // 3
        if self.language == "zh":
            return f"{first.year} 年第{_QUARTERS[quarter - 1]}季度"
        return f"Q{quarter} {first.year}"

    def short_period(self, period: Period) -> str:
        """Name a period where there is little room."""
        first = period.first
        if period.kind == "week":
            return self.short_day(first)
        if period.kind == "month":
            if self.language == "zh":
                return f"{first.year % 100:02d}年{first.month}月"
            return f"{_LONG[first.month - 1][:3]} {first.year % 100:02d}"
        return f"{first.year % 100:02d}Q{(first.month + 2) // 3}"

    def listed(self, names: list[str]) -> str:
        """Join names.

        >>> Words("en", "EUR").listed(["a", "b", "c"]), Words("zh", "EUR").listed(["甲", "乙"])
        ('a, b and c', '甲、乙')
        """
        if self.language == "zh":
            return "、".join(names)
        return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
