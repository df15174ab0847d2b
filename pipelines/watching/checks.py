"""A check, and which of a run's checks are told.

A year of runs makes thousands of checks, of which folklore thresholds would call dozens. The rule
here bounds the expected number of false alarms in a year, whatever depends on what: the chances at
which the checks of a run may raise an alarm add up to ``false_alarms_a_year / runs_a_year``, and
the few that most breaks pass through have four times the share of another. The sum of chances is
the expected count (Bonferroni's inequality, as the per-family error rate of Tukey 1953), so that in
control the panel runs ``1 / false_alarms_a_year`` years between two false alarms on average, which
is how control charts are designed (Montgomery, "Introduction to Statistical Quality Control",
chapter 5). Besides, it must be large enough to matter.

Notices carry no such cost: of those that a run gives, at most one in twenty is expected to be
chance (Benjamini and Hochberg 1995).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np

from features.settings import MonitoringSettings

Severity = Literal["alarm", "notice"]
Group = Literal["data", "features", "predictions", "outcomes"]

CORE = 4.0
"""Weight of what most breaks pass through: volumes, amounts, days, who came back, what was said."""
FALSE_NOTICES = 0.05
"""Share of notices that may be chance."""


@dataclass(frozen=True)
class Check:
    """One look at one figure.

    Attributes
    ----------
    key
        Group, table or theme, and figure, as in ``data/orders/lines``: the same in every run.
    value, expected
        What is seen, and what was to be expected.
    lower, upper
        Of weeks in which nothing has changed, 99 of 100 lie between these; None where that is no
        range of one figure.
    chance
        Of a value as far off as this while nothing has changed.
    matters
        Whether it is far enough off to matter.
    may_alarm
        Whether it is one of those that can raise an alarm; else it is told as a notice at most.
    sentence
        What is seen and what was expected.
    weight
        Its share of the false alarms that are allowed, another's being 1.
    """

    key: str
    group: Group
    value: float
    expected: float
    chance: float
    matters: bool
    may_alarm: bool
    sentence: str
    lower: float | None = None
    upper: float | None = None
    figures: Mapping[str, Any] = field(default_factory=dict)
    weight: float = 1.0

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**asdict(self), "figures": dict(self.figures)}


@dataclass(frozen=True)
class Alert:
    """What somebody is told.

    Attributes
    ----------
    key
        That of the check.
    figures
        Value, expectation, chance and what else the check has.
    """

    severity: Severity
    key: str
    sentence: str
    figures: Mapping[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**asdict(self), "figures": dict(self.figures)}


def error_of(settings: MonitoringSettings, checks: Sequence[Check]) -> float:
    """The chance at which a check of weight 1 may raise a false alarm, among those of a run.

    >>> one = Check("data/days", "data", 0, 0, 1, False, True, "")
    >>> round(error_of(MonitoringSettings(false_alarms_a_year=0.52), [one] * 10), 9)
    0.001
    """
    shares = sum(check.weight for check in checks if check.may_alarm)
    return settings.false_alarms_a_year / (settings.runs_a_year * max(shares, 1.0))


def alerts_of(checks: Sequence[Check], settings: MonitoringSettings) -> tuple[Alert, ...]:
    """Choose what is told: alarms first, each by its chance."""
    error = error_of(settings, checks)
    alarms = [c for c in checks if c.may_alarm and c.matters and c.chance <= c.weight * error]
    others = [c for c in checks if c not in alarms]
    limit = _limit([c.chance for c in others])
    notices = [c for c in others if c.matters and c.chance <= limit]
    return (*_told("alarm", alarms), *_told("notice", notices))


def _told(severity: Severity, checks: Sequence[Check]) -> Iterator[Alert]:
    for check in sorted(checks, key=lambda check: check.chance):
        yield _alert(severity, check)


def _alert(severity: Severity, check: Check) -> Alert:
    figures = {
        "value": check.value,
        "expected": check.expected,
        "lower": check.lower,
        "upper": check.upper,
        "chance": check.chance,
        **check.figures,
    }
    return Alert(severity, check.key, check.sentence, figures)


def _limit(chances: Sequence[float]) -> float:
    """The chance up to which checks are noticed, by Benjamini and Hochberg's step-up rule.

    >>> _limit([0.001, 0.6, 0.04, 0.9]), _limit([0.3, 0.6])
    (0.0125, 0.0)
    """
    ranks = np.arange(1, len(chances) + 1) / max(len(chances), 1)
    below = np.flatnonzero(np.sort(chances) <= FALSE_NOTICES * ranks)
    return float(FALSE_NOTICES * ranks[below[-1]]) if len(below) else 0.0
