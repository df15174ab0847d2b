"""A cross-sell names what clearly goes with a customer's purchases, and nothing else."""

from __future__ import annotations

import shutil
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from conftest import succeed

from features.days import day_number
from serving.playbook import SHIPPED, load_playbook
from serving.sentences import LANGUAGES
from training.affinity import Affinity

NAMES = ["bread", "butter", "tea", "oil", "salt", "jam", "fish", "rice"]
DAY = date(2024, 6, 30)


def baskets(seed: int, together: float, count: int = 1500) -> pl.DataFrame:
    """Make lines of baskets, in which butter follows bread with a chance and else anything does."""
    rng = np.random.default_rng(seed)
    popular = np.array([0.2, 0.2, 0.3, 0.15, 0.1, 0.05, 0.2, 0.1])
    held = rng.random((count, len(NAMES))) < popular
    held[:, 1] |= held[:, 0] & (rng.random(count) < together)
    basket, category = np.nonzero(held)
    day = day_number(DAY) - 400 + basket // 4
    return pl.DataFrame(
        {
            "customer_id": basket % 500,
            "event_day": day,
            "known_day": day,
            "amount_e4": 10_000,
            "is_product": True,
            "category": [NAMES[one] for one in category],
        }
    )


def learned(folder: Path, lines: pl.DataFrame, day: date = DAY) -> dict[str, list[str]]:
    file = folder / "orders.parquet"
    lines.write_parquet(file)
    found = Affinity.known(file, day).companions
    return {name: [one.category for one in some] for name, some in found.items()}


def test_what_goes_together_is_found_and_where_nothing_does_nothing_is(tmp_path: Path):
    for seed in range(8):
        assert learned(tmp_path, baskets(seed, 0.0)) == {}
        both = {"bread": ["butter"], "butter": ["bread"]}
        assert learned(tmp_path, baskets(seed, 0.6)) == both
    # A row's place in the file is nobody's business, and a basket is what was bought on a day.
    lines = baskets(0, 0.6)
    shuffled = pl.concat([lines, lines.sample(fraction=0.3, seed=1)]).sample(
        fraction=1, shuffle=True, seed=2
    )
    assert learned(tmp_path, shuffled) == both


@pytest.mark.parametrize(
    "unknown",
    [
        pl.col("known_day") + 1000,  # arrived later
        pl.col("event_day") + 1000,  # happened later
        pl.col("amount_e4") * -1,  # returned
        pl.lit(False).alias("is_product"),  # postage
        pl.lit(None, pl.String).alias("category"),
    ],
)
def test_only_purchases_of_products_known_by_the_day_count(tmp_path: Path, unknown: pl.Expr):
    lines = baskets(3, 0.6)
    told = lines.with_columns(unknown)
    assert learned(tmp_path, told) == {}
    assert learned(tmp_path, pl.concat([told, lines])) == learned(tmp_path, lines)


def test_few_customers_are_no_evidence(tmp_path: Path):
    few = baskets(1, 0.9, count=60)
    assert learned(tmp_path, few) == {}
    # The same customers again and again are no more of them.
    often = pl.concat([few.with_columns(pl.col("event_day") - 100 * n) for n in range(20)])
    assert learned(tmp_path, often.with_columns(known_day="event_day")) == {}
    assert learned(tmp_path, few.clear()) == {}


def test_the_scores_name_the_tier_that_is_offered(trained: dict[str, Any], tmp_path: Path):
    workspace = tmp_path / "w"
    shutil.copytree(trained["workspace"], workspace)
    text = SHIPPED.read_text(encoding="utf-8")
    generous = text.replace("share_of_order: 0.02", "share_of_order: 0.0")
    (workspace / "playbook.yaml").write_text(generous, encoding="utf-8")
    settings = "serving: {consent_unknown: plan, playbook: playbook.yaml}"
    (workspace / "lifecycle.yaml").write_text(settings)
    told = {}
    for language in LANGUAGES:
        out = tmp_path / f"{language}.parquet"
        succeed(workspace, "score", "--lang", language, "--reasons", "none", "--out", out)
        told[language] = pl.read_parquet(out)
    english, chinese = told["en"], told["zh"]
    offered = english.filter(pl.col("action") == "membership_tier")
    # Who is in none of a membership's tiers yet is offered the first.
    first = offered["value_tier"].replace("basic", "silver")
    assert offered["action_offer"].to_list() == first.to_list()
    assert offered["action_offer"].n_unique() > 1
    others = english.filter(~pl.col("action").is_in(["membership_tier", "cross_sell"]))
    assert others["action_offer"].null_count() == others["action_offer_why"].null_count()
    assert others["action_offer"].null_count() == others.height
    # Of another language are the words, and nothing else.
    assert chinese["action"].equals(english["action"])
    assert chinese["action_offer"].equals(english["action_offer"])
    names = {a.key: a.name_zh for a in load_playbook().actions} | {"none": "不采取行动"}
    assert chinese["action_name"].to_list() == [names[key] for key in chinese["action"]]
    assert set(chinese["action_note"]).isdisjoint(english["action_note"])
    decision = chinese.filter(pl.col("action_offer").is_not_null())["decision_id"][0]
    assert succeed(workspace, "replay", decision)["equal"]
