"""A plan's summary in tables and sentences, the same on the terminal and on the page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from serving.actions import note_text
from serving.plan.policies import RULES
from serving.plan.summary import BUDGET, CAPACITY

Told = Mapping[str, Any]

ACTION_COLUMNS = (
    "action", "chosen", "treated", "held out", "cost", "net value", "between", "effects",
    "of capacity",
)  # fmt: skip
CONTROL_COLUMNS = ("held out of", "share", "shows", "expected", "breaks even", "forgone")
POLICY_COLUMNS = ("instead of the plan", "treated", "cost", "net value")
LEFT_COLUMNS = ("left out because", "customers")

_REASONS = {
    BUDGET: "An action would pay, but the budget brings more elsewhere.",
    CAPACITY: "An action would pay, but its places are taken by those for whom it pays more.",
}
_POLICIES = {
    "risk_first": "risk first, same limits",
    "value_first": "value first, same limits",
    "everyone": "everyone, no limits",
}


def money(amount: float) -> str:
    """Write an amount, with cents where it is small.

    >>> money(1234.5), money(0.027), money(-3.0)
    ('1,234', '0.03', '-3.00')
    """
    return f"{amount:,.0f}" if abs(amount) >= 1000 else f"{amount:,.2f}"


def title(plan: Told) -> str:
    """Name a plan."""
    return (
        f"Plan {plan['campaign']}, as of {plan['as_of']}, over {plan['horizon_days']} days "
        f"({plan['currency']})"
    )


def action_rows(plan: Told) -> list[list[str]]:
    """Format the actions of a plan, the dearest first, and their total."""
    rows = [
        [
            told["action"],
            f"{told['chosen']:,}",
            f"{told['treated']:,}",
            f"{told['control']:,}",
            money(told["cost"]),
            money(told["value"]["mid"]),
            _between(told["value"]),
            _effect_from(told),
            "" if told["capacity"] is None else f"{told['chosen']:,} of {told['capacity']:,}",
        ]
        for told in sorted(plan["actions"], key=lambda one: -one["cost"])
    ]
    total = [
        "all", f"{plan['chosen']:,}", f"{plan['treated']:,}", f"{plan['control']:,}",
        money(plan["cost"]), money(plan["value"]["mid"]), _between(plan["value"]),
        _measured(plan), "",
    ]  # fmt: skip
    return [*rows, total]


def control_rows(plan: Told) -> list[list[str]]:
    """Format what the control group of each action will show."""
    rows = []
    for told in sorted(plan["actions"], key=lambda one: -one["cost"]):
        held = told["hold_out"]
        rows.append(
            [
                told["action"],
                f"{held['share']:.1%}",
                _effect(held["visible"], held["measure"], plan["currency"]),
                _effect(held["expected"], held["measure"], plan["currency"]),
                _effect(held["break_even"], held["measure"], plan["currency"]),
                money(held["forgone"]),
            ]
        )
    return rows


def policy_rows(plan: Told) -> list[list[str]]:
    """Format what simple rules would do, the plan without its control group first."""
    plain = [
        "this plan, nobody held out", f"{plan['chosen']:,}", money(plan["cost_of_chosen"]),
        money(plan["value_of_chosen"]),
    ]  # fmt: skip
    return [
        plain,
        *(
            [
                _POLICIES[name],
                f"{told['customers']:,}",
                money(told["cost"]),
                money(told["value"]),
            ]
            for name in RULES
            for told in [plan["policies"][name]]
        ),
    ]


def left_rows(plan: Told) -> list[list[str]]:
    """Format who was left out and why, the most frequent reason first."""
    counted = sorted(plan["left_out"].items(), key=lambda one: -one[1])
    return [[_REASONS.get(why) or note_text(why), f"{count:,}"] for why, count in counted]


def sentences(plan: Told) -> Iterator[str]:
    """Say what the tables do not."""
    yield _money_sentence(plan)
    for action, price in plan["full"].items():
        yield f"{action}: all places are taken; one more would bring {money(price)}"
    yield (
        "the best plan within these limits"
        if plan["gap"] < 1e-9
        else f"no plan within these limits earns more than {money(plan['bound'])}: at most "
        f"{plan['gap']:.4%} is missing"
    )
    blind = [told["action"] for told in plan["actions"] if _is_blind(told)]
    for told in plan["actions"]:
        if not _is_blind(told):
            yield f"{told['action']}: {_control_sentence(told, plan['currency'])}"
    if blind:
        yield (
            f"too few customers to see by this plan alone what is expected of {', '.join(blind)}, "
            "whoever is held out; together with those of other campaigns they count"
        )


def _money_sentence(plan: Told) -> str:
    if plan["budget"] is None:
        return f"no budget was set; the plan costs {money(plan['cost'])}"
    first = plan["first_bought"]
    if first is not None:
        return (
            f"a budget of {money(plan['budget'])} buys nothing; the first thing that money would "
            f"buy is {first['action']} for customer {first['customer_id']}: {money(first['cost'])} "
            f"for a net value of {money(first['value'])}"
        )
    if not plan["chosen"]:
        return "there is nothing to plan: no action that may be done would pay"
    held = plan["cost_of_chosen"] - plan["cost"]
    kept = f", {money(held)} more if nobody were held out" if held > 0 else ""
    last = plan["shadow_price"]
    more = (
        f"one {plan['currency']} more would bring {money(last)} net of itself"
        if last > 0
        else "more money would bring nothing"
    )
    return (
        f"of the budget of {money(plan['budget'])}, {money(plan['cost'])} is planned{kept}; {more}"
    )


def _is_blind(told: Told) -> bool:
    """Whether no share of an action's customers would show what is expected of it."""
    return told["hold_out"]["target"] == "too_few" and told["hold_out"]["wanted"] is None


def _control_sentence(told: Told, currency: str) -> str:
    held = told["hold_out"]
    visible = _effect(held["visible"], held["measure"], currency)
    expected = _effect(held["expected"], held["measure"], currency)
    even = _effect(held["break_even"], held["measure"], currency)
    match held["target"]:
        case "break_even":
            return f"{told['control']:,} are held out, to see whether it breaks even ({even})"
        case "expected":
            return (
                f"{told['control']:,} are held out, to see the expected {expected}; to see whether "
                f"it breaks even ({even}) would take more than may be held out"
            )
        case "too_few":
            return (
                f"the {told['control']:,} held out show {visible} or more; the expected {expected} "
                f"would take {held['wanted']:.0%} of the customers, more than may be held out"
            )
        case _:
            return "nobody is held out: what it changes will not be known"


def _effect(amount: float | None, measure: str, currency: str) -> str:
    if amount is None:
        return "nothing"
    if measure == "purchase":
        return f"{_two_digits(100 * amount)} points"
    return f"{_two_digits(amount)} {currency} each"


def _between(value: Told) -> str:
    return f"{money(value['low'])} to {money(value['high'])}"


def _effect_from(told: Told) -> str:
    """Say where an effect comes from; of a mixture, how much of it was measured."""
    if told["effect"] != "mixed":
        return str(told["effect"])
    return f"{told['measured_share']:.0%} measured"


def _measured(plan: Told) -> str:
    value = plan["value"]["mid"]
    return f"{plan['measured_value'] / value:.0%} measured" if value > 0 else ""


def _two_digits(amount: float) -> str:
    """Write two significant digits, never as a power of ten.

    >>> _two_digits(143.2), _two_digits(1432.0), _two_digits(0.0671)
    ('140', '1,400', '0.067')
    """
    return f"{float(f'{amount:.2g}'):,.12g}"
