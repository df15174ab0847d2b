"""Who is in which stage: the rules of a file with one company's numbers, asked of customers.

The shipped rules look at facts first (has the customer ever bought, for how long have they been
silent) and at predictions last, so that a prediction never overrules what was seen. Bad news needs
to be strictly beyond its threshold and a window includes its last day: where every customer looks
alike and the fitted thresholds coincide, nobody is called declining.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.expressions import Ask
from training.population import StageThresholds
from training.stage_rules import StageRules
from training.wording import Language

Float = NDArray[np.float64]

NOT_BEFORE = -1
"""In the place of the stage before, where none is known."""
_FEW = 8
"""Customers up to whom plain numbers are quicker than arrays."""


@dataclass(frozen=True)
class Staged:
    """Where customers stand, arrays of shape (n,).

    Attributes
    ----------
    stage
        Place in :data:`training.stages.STAGES`, int8.
    rule
        Place of the clause that put the customer there, in the rules' order, int8.
    """

    stage: NDArray[np.int8]
    rule: NDArray[np.int8]


class CompanyStages:
    """Stage rules with a company's thresholds in them.

    What is unknown (NaN) satisfies no comparison: an unknown number of purchases reads as none, an
    unknown churn probability is neither high nor low.

    Examples
    --------
    >>> from training.stage_rules import load_stage_rules
    >>> from training.stages import STAGES
    >>> company = CompanyStages(load_stage_rules(), StageThresholds(silent_days=91,
    ...     activation_days=30, churn_high=0.7, churn_low=0.3, value_high=200, lateness_high=2,
    ...     company_gap_days=40))
    >>> def stage(purchases, recency, tenure, gaps, churn=0.5, value=100, intent=0):
    ...     row = dict.fromkeys(company.asked, np.nan)
    ...     row |= dict(purchases=purchases, recency_days=recency, tenure_days=tenure,
    ...         gap_mean_days=gaps[0], gap_last_days=gaps[1], lateness=recency / gaps[0],
    ...         intent_90d=intent, churn_probability=churn, annual_value=value)
    ...     columns = {name: np.array([cell], dtype=float) for name, cell in row.items()}
    ...     return STAGES[company.assign(columns).stage[0]]
    >>> unknown = np.nan
    >>> never = unknown, unknown

    Without an order, engagement makes the difference:

    >>> stage(0, unknown, unknown, never), stage(0, unknown, unknown, never, intent=1)
    ('prospect_aware', 'prospect_considering')

    Silence is a fact, whatever the prediction; the last day of the window is not yet silence:

    >>> stage(5, 92, 400, (60, 60), churn=0.1), stage(5, 91, 400, (60, 60))
    ('churned', 'developing')

    An order after such a silence, then a second one:

    >>> stage(2, 10, 200, (190, 190)), stage(3, 5, 205, (100, 10))
    ('won_back', 'developing')

    A first order inside the activation window:

    >>> stage(1, 30, 30, never, churn=0.9), stage(1, 31, 31, never)
    ('new', 'developing')

    Behind the cadence (with one order, the company's), or of high churn probability:

    >>> stage(5, 41, 400, (20, 20)), stage(1, 81, 81, never), stage(5, 9, 400, (20, 20), churn=0.8)
    ('declining', 'declining', 'declining')

    Steady, safe and valuable at once; an unsteady last gap is not yet loyalty:

    >>> stage(5, 9, 400, (20, 20), 0.3, 200), stage(5, 9, 400, (20, 41), 0.3, 200)
    ('loyal', 'developing')
    """

    def __init__(self, rules: StageRules, thresholds: StageThresholds) -> None:
        self.rules = rules
        self._numbers = thresholds.to_dict()
        self._asks: list[tuple[Ask | None, int | None]] = [
            (
                None if clause.when is None else clause.when.bind(self._numbers),
                clause.stage if clause.staying else None,
            )
            for clause in rules.clauses
        ]
        self._stage_of = np.array([clause.stage for clause in rules.clauses], np.int8)

    @property
    def asked(self) -> tuple[str, ...]:
        """Facts and predictions that customers are asked for."""
        return self.rules.asked

    def told(self, language: Language) -> tuple[str, ...]:
        """Say each clause in a sentence with the company's numbers.

        >>> from training.stage_rules import load_stage_rules
        >>> company = StageThresholds(91, 30, 0.7, 0.3, 200, 2, 40)
        >>> CompanyStages(load_stage_rules(), company).told("en")[2]
        'No purchase for more than 91 days.'
        """
        return tuple(
            (clause.zh if language == "zh" else clause.en).told(self._numbers, language)
            for clause in self.rules.clauses
        )

    def assign(
        self, columns: Mapping[str, Float], before: NDArray[np.int8] | None = None
    ) -> Staged:
        """Put every customer in exactly one stage.

        Parameters
        ----------
        columns
            Float64 arrays of one length: what :attr:`asked` names, NaN where unknown.
        before
            Each customer's stage in earlier scores, int8; below zero where there is none.

        Raises
        ------
        ValueError
            A column is missing, or an array is not one row per customer.
        """
        rows = self._checked(columns, before)
        if rows <= _FEW:
            rule = self._one_by_one(columns, before, rows)
        else:
            rule = self._all_at_once(columns, before, rows)
        return Staged(self._stage_of[rule], rule)

    def _one_by_one(
        self, columns: Mapping[str, Float], before: NDArray[np.int8] | None, rows: int
    ) -> NDArray[np.int8]:
        cells = {name: columns[name].tolist() for name in self.rules.asked}
        former = [NOT_BEFORE] * rows if before is None else before.tolist()
        found = []
        for place in range(rows):
            row = {name: values[place] for name, values in cells.items()}
            found.append(self._first(row, former[place]))
        return np.array(found, np.int8)

    def _first(self, row: Mapping[str, float], former: int) -> int:
        for place, (ask, staying) in enumerate(self._asks):
            asked = staying is None or staying == former
            if ask is not None and asked and ask(row):
                return place
        return len(self._asks) - 1

    def _all_at_once(
        self, columns: Mapping[str, Float], before: NDArray[np.int8] | None, rows: int
    ) -> NDArray[np.int8]:
        rule = np.full(rows, len(self._asks) - 1, np.int8)
        for place in reversed(range(len(self._asks))):
            ask, staying = self._asks[place]
            if ask is None or (staying is not None and before is None):
                continue
            holds = ask(columns)
            if staying is not None and before is not None:
                holds = holds & (before == staying)
            np.copyto(rule, np.int8(place), where=holds)
        return rule

    def _checked(self, columns: Mapping[str, Float], before: NDArray[np.int8] | None) -> int:
        asked = self.rules.asked
        if missing := [name for name in asked if name not in columns]:
            raise ValueError(f"the stages need {', '.join(missing)}; add them to the features")
        shapes = {name: columns[name].shape for name in asked}
        if before is not None:
            shapes["the stage before"] = before.shape
        first, shape = next(iter(shapes.items()))
        for name, other in shapes.items():
            if len(other) != 1 or other != shape:
                raise ValueError(
                    f"{name} has shape {other}, {first} {shape}; give one row per customer"
                )
        (rows,) = shape
        return int(rows)
