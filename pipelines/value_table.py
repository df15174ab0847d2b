"""A scoring by value, as a person at a terminal reads it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.console import Terminal
from serving.bands import BANDS
from training.profit import COSTS
from training.tiers import TIERS

_NAMES = {
    "upkeep_to_date": "upkeep",
    "interaction_cost_to_date": "interactions",
    "treatment_cost_to_date": "treatments",
    "acquisition_cost": "acquisition",
    "complaint_loss_to_date": "complaints",
    "referral_income_to_date": "referral income",
}
_COLUMNS = ("value tier", *(f"{band} risk" for band in BANDS), "customers", "CLV", "profit to date")


def show_value(
    terminal: Terminal,
    currency: str,
    grid: Sequence[Mapping[str, Any]],
    profit: Mapping[str, Any],
    rescue: Mapping[str, Mapping[str, float]],
) -> None:
    """Print the grid of value and risk, profit to date, and what rescues are worth."""
    terminal.table(
        f"\nValue and risk: customers, and their value at risk in brackets ({currency})",
        _COLUMNS,
        [_row(tier, [cell for cell in grid if cell["value_tier"] == tier]) for tier in TIERS[::-1]],
    )
    for sentence in (profit_sentence(profit, currency), rescue_sentence(rescue)):
        if sentence:
            terminal.note(sentence)


def _row(tier: str, cells: Sequence[Mapping[str, Any]]) -> list[str]:
    by_risk = {cell["risk_band"]: cell for cell in cells}
    return [
        tier,
        *(f"{by_risk[b]['customers']:,} ({by_risk[b]['value_at_risk']:,.0f})" for b in BANDS),
        f"{sum(cell['customers'] for cell in cells):,}",
        f"{sum(cell['clv_12m'] for cell in cells):,.0f}",
        f"{sum(cell['profit_to_date'] for cell in cells):,.0f}",
    ]


def profit_sentence(profit: Mapping[str, Any], currency: str) -> str:
    """Say what all customers have left so far, of which items, and what is not known.

    >>> profit = {"profit_to_date": 70.0, "margin_to_date": 100.0, "acquisition_cost": 30.0,
    ...     "referral_income_to_date": 5.0, "unknown_of": {"treatment_cost_to_date": 9}}
    >>> profit_sentence(profit, "EUR")
    'profit to date 70 EUR: margin 100, less acquisition 30; not known, so left out: treatments \
(of 9 customers); apart, referral income 5'
    """
    taken = [f"{_NAMES[name]} {profit[name]:,.0f}" for name in COSTS if profit.get(name)]
    unknown = [
        f"{_NAMES[name]} (of {count:,} customers)"
        for name, count in profit["unknown_of"].items()
        if name in COSTS
    ]
    brought = profit["referral_income_to_date"]
    return (
        f"profit to date {profit['profit_to_date']:,.0f} {currency}: "
        f"margin {profit['margin_to_date']:,.0f}"
        + (f", less {', '.join(taken)}" if taken else "")
        + (f"; not known, so left out: {', '.join(unknown)}" if unknown else "")
        + (f"; apart, referral income {brought:,.0f}" if brought else "")
    )


def rescue_sentence(rescue: Mapping[str, Mapping[str, float]]) -> str:
    """Say how many of those who decline or have left are worth a rescue; empty without any.

    >>> zero = {"customers": 0, "brings": 0.0, "costs": 0.0}
    >>> rescue_sentence({"worth_it": {"customers": 3, "brings": 9.0, "costs": 4.0},
    ...     "let_go": {"customers": 1, "brings": 1.0, "costs": 2.0}, "no_rescue": zero})
    'of 4 who decline or have left, 3 are worth a rescue (they bring 9 for 4), 1 are let go \
(1 for 2)'
    """
    customers = sum(int(one["customers"]) for one in rescue.values())
    if not customers:
        return ""
    worth, let_go, none = (rescue[name] for name in ("worth_it", "let_go", "no_rescue"))
    return (
        f"of {customers:,} who decline or have left, {worth['customers']:,} are worth a rescue "
        f"(they bring {worth['brings']:,.0f} for {worth['costs']:,.0f}), "
        f"{let_go['customers']:,} are let go ({let_go['brings']:,.0f} for {let_go['costs']:,.0f})"
        + (f", for {none['customers']:,} there is no action" if none["customers"] else "")
    )
