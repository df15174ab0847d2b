"""What every feature means, in plain Python: no engine, no float before the end, slow.

Written from the catalogue and the data contract alone; the definitions must agree with it.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, timedelta
from decimal import ROUND_FLOOR, Decimal, localcontext
from fractions import Fraction
from functools import cache
from typing import Any

from features.definitions.rows import Rules
from features.ingest.contract import KINDS, TABLES, Table

Row = dict[str, Any]
Shop = Mapping[Table, Sequence[Row]]
WINDOWS = (7, 14, 30, 60, 90, 180, 365)
INTENT = ("compare", "cart", "trial", "inquiry")


def expected_features(shop: Shop, today: int, rules: Rules) -> dict[Any, Row]:
    """Every feature of every customer known by the end of a day."""
    known = {table: [r for r in rows if known_by(r, today)] for table, rows in shop.items()}
    undated = [row for row in shop.get("customers", ()) if row["event_day"] is None]
    of: dict[Any, dict[Table, list[Row]]] = defaultdict(lambda: {table: [] for table in TABLES})
    for table, rows in known.items():
        for row in rows:
            of[row["customer_id"]][table].append(row)
    features = {}
    for customer, rows in of.items():
        row = whoever(rows, shop, today, rules)
        if "orders" in shop:
            row |= bought(rows["orders"], today)
        if "interactions" in shop:
            row |= engagement(rows["interactions"], today)
            row |= satisfaction(rows["interactions"], today)
        if "treatments" in shop:
            row |= treatment(
                rows["treatments"], rows["orders"] if "orders" in shop else None, today
            )
        if "contracts" in shop:
            row |= subscription(rows["contracts"], today)
        if "customers" in shop:
            static = [line for line in undated if line["customer_id"] == customer]
            row |= profile(rows["customers"], static, row.get("tenure_days"), today, rules)
            row |= referrals(customer, known["customers"], today)
            if "orders" in shop:
                row |= referral_income(customer, known["customers"], of)
        for sensitive in rules.sensitive:
            row |= dict.fromkeys(SAID_BY.get(sensitive, (sensitive,)))
        features[customer] = row
    return features


SAID_BY = {
    "registered_at": ("registered_days", "registered_to_first_purchase_days"),
    "referred_by": (
        "was_referred",
        "referred_customers",
        "days_since_referral",
        "referred_spend_without_cost",
        "referred_margin_recorded",
    ),
}


def left(lines: Sequence[Row]) -> tuple[Fraction, Fraction]:
    """What lines without a cost of goods came to, and what the others left."""
    costed = [line for line in lines if line["cost_e4"] is not None]
    goods = sum(
        -abs(line["cost_e4"]) if line["amount_e4"] < 0 else line["cost_e4"] for line in costed
    )
    sold = sum(line["amount_e4"] for line in costed)
    return money(sum(line["amount_e4"] for line in lines) - sold), money(sold - goods)


def known_by(row: Row, today: int) -> bool:
    """Happened and arrived."""
    if row["event_day"] is None:
        return False
    return row["event_day"] <= today and row["known_day"] <= today


def money(e4: int) -> Fraction:
    return Fraction(e4, 10_000)


def over(a: int | Fraction, b: int | Fraction) -> Fraction | None:
    return Fraction(a) / b if b > 0 else None


def stated(rows: Iterable[Row], column: str) -> list[Any]:
    return [row[column] for row in rows if row[column] is not None]


def sum_stated(rows: Sequence[Row], column: str) -> Fraction | None:
    """A sum over nothing is zero; a sum of values of which none is stated is not known."""
    values = stated(rows, column)
    return money(sum(values)) if values or not rows else None


def last_days(rows: Iterable[Row], today: int, newest: int, oldest: int | None = None) -> list[Row]:
    """Rows of the last days, of which today is the first; or of ``newest`` to ``oldest`` ago."""
    first, end = (0, newest) if oldest is None else (newest, oldest)
    return [row for row in rows if first <= today - row["event_day"] < end]


def since(days: Iterable[int], today: int) -> int | None:
    found = list(days)
    return today - max(found) if found else None


def favourite(weights: Mapping[str, int]) -> str | None:
    """The heaviest; of several the one of the lowest code points."""
    return min((-weight, label) for label, weight in weights.items())[1] if weights else None


def days_of(rows: Iterable[Row]) -> list[int]:
    return [row["event_day"] for row in rows]


# Whoever is known at all.


def whoever(rows: Mapping[Table, Sequence[Row]], shop: Shop, today: int, rules: Rules) -> Row:
    first = [day for table in TABLES for day in days_of(rows[table])]
    first += [r["registered_day"] for r in rows["customers"] if registered(r, today)]
    row: Row = {"as_of_day": today, "known_days": today - min(first)}
    when = date(1970, 1, 1) + timedelta(days=today)
    ahead = min(((day, name) for name, day in seasons_after(when, rules)), default=None)
    if ahead:
        row |= {"season_days": (ahead[0] - when).days, "season": ahead[1]}
    return row


def seasons_after(today: date, rules: Rules) -> Iterable[tuple[str, date]]:
    for name, text in rules.seasons.items():
        if len(text) > 5:
            days = [date.fromisoformat(text)]
        else:
            month, day = map(int, text.split("-"))
            days = [
                date(year, month, day)
                for year in (today.year, today.year + 1)
                if (month, day) != (2, 29) or (year % 4 == 0 and (year % 100 or not year % 400))
            ]
        yield from ((name, day) for day in days if day > today)


# Orders.


def bought(lines: Sequence[Row], today: int) -> Row:
    orders = purchases_of(lines)
    spent: dict[int, int] = defaultdict(int)
    for day, total in orders:
        spent[day] += total
    return {
        **history(lines, orders, spent, today),
        **windows(lines, orders, today),
        **rhythm(sorted(spent), today),
        **mix(lines, orders, today),
        **labels(lines, today),
        **returned(lines, orders, today),
        **season(lines, orders, today),
    }


def purchases_of(lines: Sequence[Row]) -> list[tuple[int, int]]:
    """Day and amount of each order whose lines of one day come to more than nothing."""
    orders: dict[tuple[str, int], int] = defaultdict(int)
    for line in lines:
        orders[line["order_key"], line["event_day"]] += line["amount_e4"]
    return [(day, total) for (_, day), total in sorted(orders.items()) if total > 0]


def history(
    lines: Sequence[Row], orders: list[tuple[int, int]], spent: dict[int, int], today: int
) -> Row:
    totals = [total for _, total in orders]
    days = sorted(spent)
    gross = sum(totals)
    logs = [parts_of_log(total, 2**20) for total in totals]
    mean_log = Fraction(sum(logs), len(logs) * 2**20) if logs else None
    return {
        "purchases": len(orders),
        "purchase_days": len(days),
        "recency_days": since(days, today),
        "tenure_days": today - days[0] if days else None,
        "spend_net": money(sum(line["amount_e4"] for line in lines)),
        "spend_gross": money(gross),
        "spend_without_cost": left(lines)[0],
        "margin_recorded": left(lines)[1],
        "monetary_value": over(money(sum(spent[day] for day in days[1:])), len(days) - 1),
        "order_value_mean": over(money(gross), len(totals)),
        "order_value_geometric_mean": math.exp(mean_log) / 10_000 if mean_log is not None else None,
        "order_value_max": money(max(totals)) if totals else None,
        "order_value_first": money(spent[days[0]]) if days else None,
        "order_value_last": money(spent[days[-1]]) if days else None,
    }


@cache
def parts_of_log(number: int, parts: int) -> int:
    """The logarithm in parts of one, rounded half up, from forty digits."""
    with localcontext() as context:
        context.prec = 40
        return int((Decimal(number).ln() * parts + Decimal("0.5")).to_integral(ROUND_FLOOR))


def windows(lines: Sequence[Row], orders: list[tuple[int, int]], today: int) -> Row:
    def count(*days: int) -> int:
        return len(last_days([{"event_day": day} for day, _ in orders], today, *days))

    def spend(*days: int) -> int:
        return sum(line["amount_e4"] for line in last_days(lines, today, *days))

    row: Row = {}
    for n in WINDOWS:
        row |= {f"purchases_{n}d": count(n), f"spend_{n}d": money(spend(n))}
    for n in (30, 90):
        row[f"purchases_change_{n}d"] = count(n) - count(n, 2 * n)
        row[f"spend_change_{n}d"] = money(spend(n) - spend(n, 2 * n))
    for name, unit, of in (("purchases", int, count), ("spend", money, spend)):
        now, before = of(30) - of(30, 60), of(30, 60) - of(60, 90)
        row[f"{name}_acceleration_30d"] = unit(now - before)
    return row


def spread(numbers: Sequence[int | Fraction]) -> float | None:
    """Population standard deviation."""
    return math.sqrt(statistics.pvariance(map(Fraction, numbers))) if numbers else None


def rhythm(days: list[int], today: int) -> Row:
    gaps = [later - earlier for earlier, later in itertools.pairwise(days)]
    mean = Fraction(sum(gaps), len(gaps)) if gaps else None
    deviation = spread(gaps)
    return {
        "gap_mean_days": mean,
        "gap_std_days": deviation,
        "gap_cv": deviation / mean if deviation is not None and mean else None,
        "gap_max_days": max(gaps, default=None),
        "gap_first_days": gaps[0] if gaps else None,
        "gap_last_days": gaps[-1] if gaps else None,
        "lateness": Fraction(today - days[-1]) / mean if mean else None,
        "purchase_rate": Fraction(len(days), today - days[0] + 1) if days else None,
    }


def mix(lines: Sequence[Row], orders: list[tuple[int, int]], today: int) -> Row:
    sold = [line for line in lines if line["amount_e4"] > 0]
    products = [line for line in sold if line["is_product"]]
    quantities = [
        Fraction(math.floor(Fraction(str(q)) * 10_000 + Fraction(1, 2)), 10_000)
        for q in stated(products, "quantity")
    ]
    # What a returned line says of a discount was said by its sale.
    kept = [line for line in lines if line["amount_e4"] >= 0]
    says = bool(stated(kept, "discount_e4"))

    def discount_share(days: int) -> Fraction | None:
        given = sum(stated(last_days(kept, today, days), "discount_e4"))
        gross = sum(total for day, total in orders if 0 <= today - day < days)
        return over(given, gross + given) if says else None

    return {
        "order_value_log_std": spread([Fraction(parts_of_log(t, 1024), 1024) for _, t in orders]),
        "lines_per_purchase": over(len(products), len(orders)),
        "quantity_per_purchase": over(sum(quantities), len(orders)) if quantities else None,
        "discount_share": discount_share(10**6),
        "discount_share_365d": discount_share(365),
        "discounted_line_share": over(
            sum(1 for line in sold if (line["discount_e4"] or 0) > 0), len(sold)
        )
        if says
        else None,
    }


def labels(lines: Sequence[Row], today: int) -> Row:
    sold = [line for line in lines if line["amount_e4"] > 0]
    products = [line for line in sold if line["is_product"]]
    days: dict[str, set[int]] = defaultdict(set)
    for line in products:
        days[line["category"]].add(line["event_day"])
    days.pop(None, None)
    row: Row = {}
    for name, plural, of in (("category", "categories", products), ("channel", "channels", sold)):
        counts = Counter(stated(of, name))
        lines_in_all = sum(counts.values())
        row |= {
            plural: len(counts) if stated(lines, name) else None,
            f"{name}_entropy": entropy(counts.values()) if counts else None,
            f"{name}_favourite": favourite(counts),
            f"{name}_favourite_share": over(max(counts.values(), default=0), lines_in_all),
        }
    recent = set(stated(last_days(products, today, 180), "category"))
    counts = Counter(stated(products, "category"))
    row |= {
        f"category_{place}": label
        for place, label in enumerate(sorted(counts, key=lambda one: (-counts[one], one))[:8], 1)
    }
    return row | {
        "categories_180d": len(recent) if stated(lines, "category") else None,
        "category_repeat_rate": over(sum(len(d) > 1 for d in days.values()), len(days)),
    }


def entropy(counts: Iterable[int]) -> float:
    """ln N - (sum of n ln n) / N, each n ln n in parts of 2^-20."""
    numbers = list(counts)
    if len(numbers) == 1:
        return 0.0
    with localcontext() as context:
        context.prec = 40
        half, parts = Decimal("0.5"), 2**20
        logs = sum(
            (Decimal(n) * Decimal(n).ln() * parts + half).to_integral(ROUND_FLOOR) for n in numbers
        )
        every = Decimal(sum(numbers))
        return float(every.ln() - Decimal(logs) / parts / every)


def returned(lines: Sequence[Row], orders: list[tuple[int, int]], today: int) -> Row:
    back = [line for line in lines if line["amount_e4"] < 0]

    def value(of: Iterable[Row]) -> int:
        return -sum(line["amount_e4"] for line in of)

    return {
        "returns": len(back),
        "returns_90d": len(last_days(back, today, 90)),
        "returns_365d": len(last_days(back, today, 365)),
        "returns_value": money(value(back)),
        "returns_value_365d": money(value(last_days(back, today, 365))),
        "returns_share": over(value(back), sum(total for _, total in orders)),
        "days_since_return": since(days_of(back), today),
    }


def season(lines: Sequence[Row], orders: list[tuple[int, int]], today: int) -> Row:
    """Null for whom that was before the first line."""
    then = today - 365
    if not lines or min(days_of(lines)) > then:
        return {}
    row: Row = {"purchases_90d_last_year": sum(then - 90 < day <= then for day, _ in orders)}
    for n in (30, 90):
        row[f"purchases_next_{n}d_last_year"] = sum(then < day <= then + n for day, _ in orders)
        row[f"spend_next_{n}d_last_year"] = money(
            sum(line["amount_e4"] for line in lines if then < line["event_day"] <= then + n)
        )
    return row


# Interactions.


def engagement(rows: Sequence[Row], today: int) -> Row:
    def of(*kinds: str) -> list[Row]:
        return [row for row in rows if row["kind"] in kinds]

    def count(kind: str) -> int:
        return len(last_days(of(kind), today, 365))

    usage = of("usage")
    two_months = last_days(usage, today, 60)
    change = sum(stated(last_days(usage, today, 30), "value_e4")) - sum(
        stated(last_days(usage, today, 30, 60), "value_e4")
    )
    return {
        "interactions": len(rows),
        **{f"interactions_{n}d": len(last_days(rows, today, n)) for n in (7, 30, 365)},
        "interactions_change_30d": len(last_days(rows, today, 30))
        - len(last_days(rows, today, 30, 60)),
        "days_since_interaction": since(days_of(rows), today),
        "active_days_90d": len(set(days_of(last_days(rows, today, 90)))),
        **{f"{kind}_90d": len(last_days(of(kind), today, 90)) for kind in KINDS},
        "intent_90d": len(last_days(of(*INTENT), today, 90)),
        "days_since_intent": since(days_of(of(*INTENT)), today),
        "visit_seconds_90d": sum_stated(last_days(of("visit"), today, 90), "value_e4"),
        "usage_units_90d": sum_stated(last_days(usage, today, 90), "value_e4"),
        "usage_units_change_30d": money(change)
        if stated(two_months, "value_e4") or not two_months
        else None,
        "email_click_rate_365d": over(count("email_click"), count("email_open")),
        "cart_payment_rate_365d": over(count("payment"), count("cart")),
        "interaction_channel_favourite": favourite(Counter(stated(rows, "channel"))),
        "interaction_cost": sum_stated(rows, "cost_e4"),
    }


def satisfaction(rows: Sequence[Row], today: int) -> Row:
    def of(kind: str) -> list[Row]:
        return [row for row in rows if row["kind"] == kind]

    def mean(scored: Sequence[Row]) -> Fraction | None:
        scores = stated(scored, "value_e4")
        return over(money(sum(scores)), len(scores))

    surveys = [row for row in of("survey") if row["value_e4"] is not None]
    last = [row for row in surveys if row["event_day"] == max(days_of(surveys))]
    topics = [row for row in of("complaint") if row["topic"] is not None]
    last_topics = [row["topic"] for row in topics if row["event_day"] == max(days_of(topics))]
    return {
        "survey_mean": mean(surveys),
        "survey_last": mean(last),
        "survey_change": mean(last) - mean(surveys) if surveys else None,  # type: ignore[operator]
        "review_mean": mean(of("review")),
        "support_tickets_365d": len(last_days(of("support_ticket"), today, 365)),
        "complaints": len(of("complaint")),
        "complaints_365d": len(last_days(of("complaint"), today, 365)),
        "complaint_open": int(len(of("complaint")) > len(of("complaint_resolved"))),
        "days_since_complaint": since(days_of(of("complaint")), today),
        "complaint_topic": min(last_topics, default=None),
    }


# Treatments.


def treatment(rows: Sequence[Row], lines: Sequence[Row] | None, today: int) -> Row:
    treated = [row for row in rows if row["arm"] == "treated"]
    last = [row["action"] for row in treated if row["event_day"] == max(days_of(treated))]
    days_by_action = {
        action: max(days_of([row for row in treated if row["action"] == action]))
        for action in {row["action"] for row in treated}
    }
    recent = sorted(days_by_action, key=lambda action: (-days_by_action[action], action))
    row: Row = {
        **{
            f"treatment_recent_{place}": f"{action}:{today - days_by_action[action]}"
            for place, action in enumerate(recent[:6], 1)
        },
        "treatments": len(treated),
        "treatments_90d": len(last_days(treated, today, 90)),
        "treatments_withheld": len(rows) - len(treated),
        "days_since_treatment": since(days_of(treated), today),
        "treatment_last": min(last, default=None),
        "treatment_cost_365d": sum_stated(last_days(treated, today, 365), "cost_e4"),
        "treatment_cost": sum_stated(treated, "cost_e4"),
    }
    if lines is not None:
        days = {day for day, _ in purchases_of(lines)}
        ripe = [day for day in days_of(treated) if today - day >= 14]
        answered = [day for day in ripe if any(day + n in days for n in range(1, 15))]
        row["treatment_response_rate"] = over(len(answered), len(ripe))
    return row


# Contracts.


def subscription(rows: Sequence[Row], today: int) -> Row:
    versions: dict[Any, list[Row]] = defaultdict(list)
    for row in rows:
        versions[row["contract_id"], row["starts_at"]].append(row)
    terms = [max(known, key=lambda row: row["arrived_at"]) for known in versions.values()]

    def happened(row: Row, name: str) -> bool:
        return row[name] is not None and row[name] <= today

    cancelled = [term for term in terms if happened(term, "cancelled_day")]
    active = [
        term
        for term in terms
        if not happened(term, "cancelled_day")
        and (term["ends_day"] is None or term["ends_day"] >= today)
    ]
    ends = stated(active, "ends_day")
    over = [
        term["ends_day"] if term["ends_day"] is not None else term["cancelled_day"]
        for term in terms
        if term["ends_day"] is not None or happened(term, "cancelled_day")
    ]
    running = len(over) < len(terms) or any(day >= today for day in over)
    youngest = [term for term in terms if term["event_day"] == max(days_of(terms))]
    lengths = [t["ends_day"] - t["event_day"] for t in youngest if t["ends_day"] is not None]
    plans = [term for term in terms if term["plan"] is not None]
    newest = [term["plan"] for term in plans if term["event_day"] == max(days_of(plans))]
    return {
        "contracts": len(terms),
        "contracts_active": len(active),
        "contract_fee_active": sum_stated(active, "fee_e4"),
        "contract_days_left": min(ends) - today if ends else None,
        "contract_days_secured": max(ends) - today if ends and len(ends) == len(active) else None,
        "contract_term_days": max(lengths, default=None),
        "days_since_contract_end": today - max(over) if over and not running else None,
        "contract_tenure_days": today - min(days_of(terms)) if terms else None,
        "contract_renewals": sum(happened(term, "renewed_day") for term in terms),
        "contract_cancellations": len(cancelled),
        "days_since_cancellation": since(stated(cancelled, "cancelled_day"), today),
        "contract_plan": min(newest, default=None),
    }


# Customers.


def registered(row: Row, today: int) -> bool:
    return row["registered_day"] is not None and row["registered_day"] <= today


def profile(
    rows: Sequence[Row], static: Sequence[Row], tenure: int | None, today: int, rules: Rules
) -> Row:
    days = [row["registered_day"] for row in rows if registered(row, today)]
    versions = [row for row in rows if row["valid_from"] is not None]
    current = max(versions, key=lambda row: row["valid_from"], default=None)
    todays = [*static, *(row for row in rows if row["valid_from"] is None)]

    def attribute(name: str, column: str) -> Any:
        said = current[column] if current else None
        if said is None and name in rules.static:
            said = next(iter(stated(todays, column)), None)
        return said

    words = [row for row in versions if row["marketing_consent"] is not None]
    last = max((row["valid_from"] for row in words), default=None)
    newest = [row for row in words if row["valid_from"] == last] or [
        row
        for row in (*static, *rows)
        if row["valid_from"] is None and row["marketing_consent"] is not None
    ]
    cost = attribute("acquisition_cost", "acquisition_cost_e4")
    return {
        "registered_days": today - min(days) if days else None,
        "registered_to_first_purchase_days": today - tenure - min(days)
        if days and tenure is not None
        else None,
        "acquisition_channel": attribute("acquisition_channel", "acquisition_channel"),
        "acquisition_cost": money(cost) if cost is not None else None,
        "region": attribute("region", "region"),
        "age_group": attribute("age_group", "age_group"),
        "was_referred": int(bool(stated(rows, "referred_by"))) if rows else None,
        "marketing_consent": int(all(row["marketing_consent"] for row in newest))
        if newest
        else None,
    }


def referrals(customer: Any, rows: Sequence[Row], today: int) -> Row:
    brought: dict[Any, list[int]] = defaultdict(list)
    for row in rows:
        if row["referred_by"] == customer:
            day = row["registered_day"] if registered(row, today) else row["event_day"]
            brought[row["customer_id"]].append(day)
    return {
        "referred_customers": len(brought),
        "days_since_referral": since((min(days) for days in brought.values()), today),
    }


def referral_income(
    customer: Any, rows: Sequence[Row], of: Mapping[Any, Mapping[Table, list[Row]]]
) -> Row:
    brought = {row["customer_id"] for row in rows if row["referred_by"] == customer}
    sums = [left(of[one]["orders"]) for one in brought]
    return {
        "referred_spend_without_cost": sum((one for one, _ in sums), Fraction(0)),
        "referred_margin_recorded": sum((one for _, one in sums), Fraction(0)),
    }


TOLERANCES: dict[str, Callable[[Row], float]] = {
    # A difference of floats is as near as these are.
    "survey_change": lambda row: 1e-12 * abs(float(row["survey_mean"])),
    "category_entropy": lambda row: 1e-12,
    "channel_entropy": lambda row: 1e-12,
}
"""How far from the expected a feature may be, where that is not 1e-9 of itself."""


def differences(
    found: Sequence[Row], expected: Mapping[Any, Row], names: Iterable[str]
) -> list[str]:
    """Say where rows of a snapshot are not what plain Python makes of the history."""
    said = [row["customer_id"] for row in found]
    if said != sorted(expected):
        return [f"customers {said}, not {sorted(expected)}"]
    wrong = []
    for name, row in itertools.product(names, found):
        want = expected[row["customer_id"]].get(name)
        if not _same(row[name], want, TOLERANCES.get(name), expected[row["customer_id"]]):
            shown = float(want) if isinstance(want, Fraction) else want
            wrong.append(f"{name} of {row['customer_id']} is {row[name]}, not {shown}")
    return wrong


def _same(found: Any, want: Any, tolerance: Callable[[Row], float] | None, row: Row) -> bool:
    if isinstance(want, Fraction | float):
        within = tolerance(row) if tolerance else 0.0
        return isinstance(found, float) and math.isclose(
            found, float(want), rel_tol=1e-9, abs_tol=within
        )
    return type(found) is type(want) and found == want
