"""What a customer has left, is worth, and is worth rescuing for: the sums are the ledger's."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import shop
from hypothesis import given
from random_shops import AS_OF, RULES, TODAY, Shop, full_shops, searching, write

from features.catalogue import NAMES
from features.computing import compute_snapshot
from features.days import day_number
from features.engines import engine
from features.matrix import Vocabulary, matrix_of
from features.settings import Settings
from features.snapshots import known_customers
from features.workspace import Workspace
from pipelines.context import Context
from serving.actions import Menu, choose
from serving.playbook import load_playbook
from serving.rescue import AT_RISK, VERDICTS, judge_rescue
from serving.scorer import Scorer
from training.profit import COSTS, MISSING, profit_to_date
from training.stages import STAGES
from training.tiers import SHARES, TIERS, ValueTiers
from training.value import ValueTerms

DAY = date.fromisoformat(shop.LAST_DAY)
FREE = ValueTerms(margin=1.0, discount_rate_yearly=0.0)


@pytest.fixture(scope="module")
def known(trained: dict[str, Any]) -> tuple[Scorer, np.ndarray[Any, Any]]:
    """The champion, and the features of everyone on its day."""
    context = Context(Workspace(trained["workspace"]), Settings())
    scorer = Scorer.champion(context.registry(), context.settings.serving)
    ledger = context.ledger()
    customers = known_customers(context.workspace, ledger, DAY)
    rows = context.store(ledger).historical(customers, DAY, pushed=False)
    return scorer, matrix_of(rows, scorer.bundle.vocabulary)


@searching(8)
@given(shop=full_shops)
def test_every_item_adds_up_to_the_ledgers_to_the_ten_thousandth(shop: Shop, tmp_path: Path):
    paths = write(shop, tmp_path)
    with engine("polars") as opened:
        table = compute_snapshot(opened, paths, AS_OF, RULES)
    matrix = matrix_of(table, Vocabulary())
    happened = {
        name: [r for r in rows if None not in (r["event_day"], r["known_day"])
               and max(r["event_day"], r["known_day"]) <= TODAY]
        for name, rows in shop.items()
    }  # fmt: skip
    profit = profit_to_date(ValueTerms(1.0, 0.0, complaint_loss=2.5), 91, matrix)
    told = profit.numbers()

    def total(name: str) -> int:
        return round(sum(round(value * 10_000) for value in np.nan_to_num(told[name]).tolist()))

    def costs(rows: list[dict[str, Any]]) -> int:
        return sum(row["cost_e4"] or 0 for row in rows)

    lines = happened["orders"]
    goods = sum(
        -abs(one["cost_e4"] or 0) if one["amount_e4"] < 0 else one["cost_e4"] or 0 for one in lines
    )
    assert total("margin_to_date") == sum(one["amount_e4"] for one in lines) - goods
    assert total("interaction_cost_to_date") == costs(happened["interactions"])
    treated = [one for one in happened["treatments"] if one["arm"] == "treated"]
    assert total("treatment_cost_to_date") == costs(treated)
    complaints = sum(one["kind"] == "complaint" for one in happened["interactions"])
    assert total("complaint_loss_to_date") == 25_000 * complaints
    pairs = {(r["customer_id"], r["referred_by"]) for r in happened["customers"]}
    ids = table["customer_id"].to_pylist()
    own = dict(zip(ids, told["margin_to_date"].tolist(), strict=True))
    for place, customer in enumerate(ids):
        brought = sum(own[one] for one, by in pairs if by == customer)
        assert told["referral_income_to_date"][place] == pytest.approx(brought, abs=1e-3)
    # The total is its items, those that are known, and referral income is none of them.
    off = sum(np.nan_to_num(told[name]) for name in COSTS)
    assert profit.total == pytest.approx(told["margin_to_date"] - off, rel=1e-12, abs=1e-6)


def test_without_costs_and_at_a_margin_of_all_the_profit_is_the_net_spend(
    known: tuple[Scorer, np.ndarray[Any, Any]], trained: dict[str, Any]
):
    scorer, matrix = known
    profit = profit_to_date(FREE, scorer.bundle.thresholds.silent_days, matrix)
    assert profit.total.tolist() == matrix[:, NAMES.index("spend_net")].tolist()
    lines = pl.read_parquet(next((trained["workspace"] / "data").rglob("orders*.parquet")))
    lines = lines.filter(pl.col("known_day") <= day_number(DAY))
    assert round(profit.total.sum(), 2) == round(lines["amount_e4"].sum() / 10_000, 2)
    # Of tables that are not there nothing is said: it is missing, not 0.
    assert {tuple(MISSING[code]) for code in profit.missing.tolist()} == {
        (
            "interaction_cost_to_date",
            "treatment_cost_to_date",
            "acquisition_cost",
            "referral_income_to_date",
        )
    }


def test_upkeep_ends_with_the_customer(known: tuple[Scorer, np.ndarray[Any, Any]]):
    _, matrix = known
    terms = replace(FREE, service_cost_yearly=365.25 * 2, marketing_cost_yearly=365.25)
    upkeep = profit_to_date(terms, 30, matrix).numbers()["upkeep_to_date"]
    tenure, recency = (matrix[:, NAMES.index(n)] for n in ("tenure_days", "recency_days"))
    served = np.where(recency > 30, tenure - recency + 30, tenure)
    assert upkeep == pytest.approx(3 * np.nan_to_num(served))


def test_what_breaks_even_is_worth_nothing(known: tuple[Scorer, np.ndarray[Any, Any]]):
    """Put into the playbook as the cost of the contact, it leaves neither a gain nor a loss."""
    scorer, matrix = known
    scores = scorer.score(matrix, reasons="none")
    rescue, keys = scores.customer_value.rescue, scores.choices.keys
    at_risk = np.isin(scores.stage, [STAGES.index(stage) for stage in AT_RISK])
    assert ((rescue.verdict >= 0) == at_risk).all()
    assert {VERDICTS[code] for code in rescue.verdict[at_risk]} == {"worth_it", "let_go"}
    playbook = load_playbook()
    for row in np.flatnonzero(at_risk)[::40]:
        action = next(a for a in playbook.actions if a.key == keys[rescue.action[row]])
        dear = action.model_copy(
            update={"contact_cost": float(rescue.break_even[0][row]), "incentive": None}
        )
        said = scores.predictions
        choices = choose(
            Menu.of(playbook.model_copy(update={"actions": (dear,)})),
            scores.stage[row : row + 1],
            said.churn_probability[row : row + 1],
            said.spend_if_purchase[row : row + 1],
            said.spend_if_none[[row]] if np.ndim(said.spend_if_none) else [said.spend_if_none],
            margin=scorer.bundle.terms.margin,
            consent=[1],
            consent_unknown="refuse",
            available_data=scorer.bundle.data_available,
        )
        assert choices.worth[1, 0, 0] == pytest.approx(0.0, abs=1e-9)
        again = judge_rescue(scores.stage[row : row + 1], choices)
        assert again.break_even[0][0] == pytest.approx(again.cost[0])
        # Worth it exactly if it costs less than that.
        worth_it = rescue.cost[row] < rescue.break_even[0][row]
        assert VERDICTS[rescue.verdict[row]] == ("worth_it" if worth_it else "let_go")


def test_tiers_hold_their_shares_and_nest(known: tuple[Scorer, np.ndarray[Any, Any]]):
    scorer, matrix = known
    said = scorer.bundle.predict(matrix)
    active = matrix[:, NAMES.index("recency_days")] <= scorer.bundle.thresholds.silent_days
    value = np.maximum(said.clv_12m[active], 0.0)
    for cut, share in zip(scorer.bundle.tiers.cuts, SHARES, strict=True):
        # The fewest who hold the share: without the least of them it is not held.
        held = value[value >= cut]
        assert held.sum() >= share * value.sum() > held.sum() - held.min()
    assert scorer.bundle.tiers.cuts[1] == scorer.bundle.thresholds.value_high
    assert list(scorer.bundle.tiers.cuts) == sorted(scorer.bundle.tiers.cuts)
    assert ValueTiers.from_dict(scorer.bundle.tiers.to_dict()) == scorer.bundle.tiers
    tier = scorer.score(matrix, reasons="none").customer_value.tier
    assert {TIERS[code] for code in tier} == set(TIERS)
