"""What an order brings with it: lines, an incentive redeemed, a survey, a return to come."""

from __future__ import annotations

import numpy as np

from pipelines.worlds.calendar import DayEffects
from pipelines.worlds.company import Company
from pipelines.worlds.draws import Floats, Ints, choices
from pipelines.worlds.records import NO_TEXT, PATHS, TOPICS, Rows, clock, moments
from pipelines.worlds.seen import Seen
from pipelines.worlds.state import Flags

LINES = np.array([0.55, 0.30, 0.15])
"""Shares of orders with one, two and three lines."""
AFTER_VISIT = 600
"""An order comes so many seconds after the visit that led to it."""


def buy(company: Company, seen: Seen, ids: Ints) -> None:
    """Let people order today: what is written down, what is seen, and what stays with them."""
    if not len(ids):
        return
    state, day = company.state, seen.day
    action = state.working(ids, day.number)
    discounted = (day.depth > 0) & (
        company.draw("discount", ids) < company.classes.uses_discount[company.people.latent[ids]]
    )
    cents, category = _value(company, day, ids, action, discounted)
    channel = _channels(company, day, ids)
    seconds = clock(company.draw("time of day", ids)) + AFTER_VISIT
    number = state.orders[ids] + 1
    discount = np.where(discounted, cents * day.depth / (1 - day.depth), 0.0)
    _write_lines(company, ids, seconds, number, cents, discount, category, channel)
    _plan_return(company, ids, number, cents, category, channel)
    _redeem(company, seen, ids, seconds, action, cents)
    visits = channel != _store(company)
    if company.world.subscription is not None:
        # Nobody visits for the sake of a fee that is due.
        visits &= number == 1
    _say(company, ids, seconds, channel, visits)
    seen.discounted = np.concatenate([seen.discounted, ids[discounted]])
    if company.world.subscription is None:
        known = day.prices * company.responses.spend[action]
        known *= np.where(discounted, 1 - day.depth, 1.0)
        seen.priced = np.concatenate([seen.priced, ids])
        seen.log_values = np.concatenate([seen.log_values, np.log(cents / 100 / known)])

    first = ids[number == 1]
    state.first_order[first] = day.number
    state.orders[ids] = number
    state.discounted[ids] += discounted
    state.last_order[ids] = day.number
    state.last_visit[ids[visits]] = day.number
    state.interested[ids] = False
    friends = company.draw("brings friends", ids) < company.world.signs.referral
    if friends.any():
        state.referrers = ids[friends]


def _store(company: Company) -> int:
    """Give the place of the channel in which no visit is seen."""
    names = list(company.world.orders.channels)
    return names.index("store") if "store" in names else NO_TEXT


def _value(
    company: Company, day: DayEffects, ids: Ints, action: Ints, discounted: Flags
) -> tuple[Ints, Ints]:
    """Give what an order comes to, in cents, and the category of its first line."""
    terms = company.world.subscription
    if terms is not None:
        fees = np.array([plan.fee for plan in terms.plans.values()])[company.people.plan[ids]]
        return np.rint(100 * fees * day.prices).astype(np.int64), np.zeros(len(ids), dtype=np.int64)
    orders = company.world.orders
    noise = orders.value_noise * company.draw_normal("order value", ids)
    amount = np.exp(company.people.log_value[ids] + noise) * day.prices
    amount *= company.responses.spend[action] * np.where(discounted, 1 - day.depth, 1.0)
    return np.maximum(np.rint(100 * amount), 3).astype(np.int64), _first_category(company, ids)


def _first_category(company: Company, ids: Ints) -> Ints:
    orders = company.world.orders
    any_one = np.floor(company.draw("category", ids) * len(orders.categories)).astype(np.int64)
    own = company.draw("own category", ids) < orders.favourite_share
    return np.where(own, company.people.favourite[ids], any_one)


def _channels(company: Company, day: DayEffects, ids: Ints) -> Ints:
    shares = dict(company.world.orders.channels)
    elsewhere = choices(_normalised(list(shares.values())), company.draw("channel", ids))
    home = company.draw("at home", ids) < company.world.orders.home_share
    chosen = np.where(home, company.people.channel[ids], elsewhere)
    if day.lost_channel is None:
        return chosen
    lost = list(shares).index(day.lost_channel)
    rest = [0.0 if place == lost else share for place, share in enumerate(shares.values())]
    other = choices(_normalised(rest), company.draw("another channel", ids))
    return np.where(chosen == lost, other, chosen)


def _normalised(shares: list[float]) -> Floats:
    return np.array(shares) / sum(shares)


def _write_lines(
    company: Company,
    ids: Ints,
    seconds: Ints,
    number: Ints,
    cents: Ints,
    discount: Floats,
    category: Ints,
    channel: Ints,
) -> None:
    """Split each order into lines whose amounts add up to it, to the cent."""
    lines = choices(LINES, company.draw("lines", ids)) + 1
    if company.world.subscription is not None:
        lines = np.ones_like(lines)
    delay = company.records.delays(company.day, ids, "order")
    left, share_left = cents.copy(), np.ones(len(ids))
    for line in range(3):
        has = np.flatnonzero(lines > line)
        last = lines[has] == line + 1
        share = np.where(last, 1.0, 0.3 + 0.4 * company.draw(f"share {line}", ids[has]))
        amount = np.where(last, left[has], np.floor(left[has] * share)).astype(np.int64)
        kind = category[has] if line == 0 else _other_category(company, ids[has], category[has])
        company.records.orders.add(
            id=ids[has].astype(np.int32),
            at=moments(company.day, seconds[has]),
            known=moments(company.day + delay[has], seconds[has]),
            number=number[has].astype(np.int32),
            line=np.full(len(has), line, dtype=np.int8),
            cents=amount,
            quantity=np.ceil(3 * company.draw(f"quantity {line}", ids[has]) ** 2).astype(np.int8),
            discount=np.rint(discount[has] * share_left[has] * share).astype(np.int64),
            cost=_goods(company, ids[has], amount, f"goods {line}"),
            category=kind.astype(np.int8),
            channel=channel[has].astype(np.int8),
        )
        left[has] -= amount
        share_left[has] *= 1 - share


def _other_category(company: Company, ids: Ints, first: Ints) -> Ints:
    orders = company.world.orders
    names = list(orders.categories)
    with_it = np.array([names.index(orders.together.get(name, name)) for name in names])
    follows = company.draw("together", ids) < orders.together_share
    any_one = np.floor(company.draw("another category", ids) * len(names)).astype(np.int64)
    return np.where(follows, with_it[first], any_one)


def _goods(company: Company, ids: Ints, cents: Ints, name: str) -> Ints:
    """Draw the cost of goods: what the margin leaves, on average."""
    spread = 0.9 + 0.2 * company.draw(name, ids)
    return np.rint(cents * (1 - company.world.margin) * spread).astype(np.int64)


def _plan_return(
    company: Company, ids: Ints, number: Ints, cents: Ints, category: Ints, channel: Ints
) -> None:
    orders = company.world.orders
    back = np.flatnonzero(company.draw("returned", ids) < orders.returned)
    first, last = orders.return_days
    after = first + np.floor(company.draw("return day", ids[back]) * (last - first + 1))
    for days in np.unique(after).astype(int):
        those = back[after == days]
        company.due.setdefault(company.day + int(days), Rows()).add(
            id=ids[those], number=number[those], cents=cents[those],
            category=category[those], channel=channel[those],
        )  # fmt: skip


def take_returns(company: Company) -> None:
    """Write down the orders that come back today."""
    due = company.due.pop(company.day, None)
    if due is None:
        return
    names = ("id", "number", "cents", "category", "channel")
    rows = due.columns(names)
    ids = rows["id"].astype(np.int64)
    seconds = clock(company.draw("returned at", ids))
    delay = company.records.delays(company.day, ids, "return")
    company.records.orders.add(
        id=ids.astype(np.int32),
        at=moments(company.day, seconds),
        known=moments(company.day + delay, seconds),
        number=rows["number"].astype(np.int32),
        line=np.full(len(ids), -1, dtype=np.int8),
        cents=-rows["cents"].astype(np.int64),
        quantity=np.full(len(ids), -1, dtype=np.int8),
        discount=np.zeros(len(ids), dtype=np.int64),
        cost=-_goods(company, ids, rows["cents"].astype(np.int64), "goods back"),
        category=rows["category"].astype(np.int8),
        channel=rows["channel"].astype(np.int8),
    )


def _redeem(
    company: Company, seen: Seen, ids: Ints, seconds: Ints, action: Ints, cents: Ints
) -> None:
    """Let the first order after a treatment use its incentive, which is paid apart."""
    state, responses = company.state, company.responses
    able = np.flatnonzero((action > 0) & state.unredeemed[ids])
    state.unredeemed[ids[able]] = False
    which, who = action[able], ids[able]
    cost = responses.incentive_share[which] * cents[able] / 100 + responses.incentive_amount[which]
    used = company.draw("redeems", who) < responses.redeems[which, company.people.latent[who]]
    used &= cost > 0
    seen.able = np.concatenate([seen.able, who[cost > 0]])
    seen.redeemed = np.concatenate([seen.redeemed, who[used]])
    company.records.did(
        company.day,
        who[used],
        seconds[able][used],
        "event",
        topic=TOPICS.index("incentive_redeemed"),
        cost=np.round(cost[used], 2),
    )


def _say(company: Company, ids: Ints, seconds: Ints, channel: Ints, online: Flags) -> None:
    """Write down what goes with an order: the visit that led to it, and what is said after."""
    signs, records, state = company.world.signs, company.records, company.state
    names = list(company.world.orders.channels)
    path = np.array([PATHS.index(name) if name in PATHS else 0 for name in names])[channel]
    visitors, when, where = ids[online], seconds[online], path[online]
    stay = np.round(60 + 900 * company.draw("stay", visitors), 0)
    records.did(company.day, visitors, when - AFTER_VISIT, "visit", value=stay, path=where)
    for kind, before in (("cart", 240), ("checkout", 120), ("payment", 0)):
        records.did(company.day, visitors, when - before, kind, path=where)
    for kind, chance, after in (
        ("survey", signs.survey_answered, 7200),
        ("review", signs.review, 9000),
    ):
        who = np.flatnonzero(company.draw(kind, ids) < chance)
        best = 10 if kind == "survey" else 5
        pleased = (
            0.8 - 0.4 * state.complaining[ids[who]] + 0.2 * company.draw_normal("score", ids[who])
        )
        score = np.clip(np.rint(best * pleased), 0 if best == 10 else 1, best)
        records.did(company.day, ids[who], seconds[who] + after, kind, value=score, path=0)
    who = np.flatnonzero(company.draw("ticket", ids) < signs.ticket)
    topic = np.floor(4 * company.draw("ticket topic", ids[who])).astype(np.int8)
    records.did(
        company.day, ids[who], seconds[who] + 3600, "support_ticket",
        topic=topic, path=PATHS.index("phone"),
    )  # fmt: skip
