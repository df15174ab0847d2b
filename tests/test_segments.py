"""Segments: fifths that hold ties together, clusters only where they come back, slices of all."""

from __future__ import annotations

import json
import shutil
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import shop
from conftest import run, succeed
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from random_shops import searching

from features.catalogue import NAMES
from features.days import day_number
from features.errors import WorkspaceError
from features.workspace import read_json, write_json
from pipelines.slices import OTHER, UNKNOWN, attributes_on, slice_by
from serving.cluster_words import PHRASES, describe
from serving.sentences import LANGUAGES
from training.segments import traits
from training.segments.fit import FEWEST_TO_CLUSTER, Segments
from training.segments.rfm import RfmCuts

Float = NDArray[np.float64]
DAY = date(2024, 6, 30)


def buyers(groups: list[tuple[int, dict[str, float]]], seed: int = 3) -> Float:
    """Made-up buyers around the medians of each group, a factor of 1.25 wide."""
    rng = np.random.default_rng(seed)
    usual = {"purchase_days": 4.0, "recency_days": 60.0, "tenure_days": 400.0}
    usual |= {"order_value_mean": 30.0, "spend_net": 120.0}
    parts = []
    for count, differs in groups:
        part = np.full((count, len(NAMES)), np.nan)
        for name, value in (usual | differs).items():
            part[:, NAMES.index(name)] = value * rng.lognormal(0, 0.22, count)
        parts.append(part)
    return np.concatenate(parts)


PLANTED: list[tuple[int, dict[str, float]]] = [
    (200, {"purchase_days": 30, "order_value_mean": 8, "spend_net": 240}),
    (150, {"purchase_days": 3, "order_value_mean": 200, "spend_net": 600}),
    (150, {"purchase_days": 3, "recency_days": 700, "tenure_days": 900}),
]


@searching(40)
@given(values=st.lists(st.integers(0, 6), min_size=30, max_size=60))
def test_equal_customers_are_in_one_fifth_and_better_ones_never_below(values: list[int]):
    measured = np.array([values, values, values], dtype=np.float64)
    cuts = RfmCuts.fit(measured)
    fifths = cuts.scores(measured)[0]
    order = np.argsort(values)
    assert (np.diff(fifths[order]) >= 0).all()
    assert all(len(set(fifths[np.array(values) == value])) == 1 for value in set(values))
    assert RfmCuts.from_dict(json.loads(json.dumps(cuts.to_dict()))).cuts.tolist() == (
        cuts.cuts.tolist()
    )


def test_planted_clusters_are_found_described_and_kept(tmp_path: Path):
    matrix = buyers(PLANTED)
    fitted = Segments.fit(matrix, DAY, seed=7)
    assert fitted.clusters is not None
    assert fitted.clusters.gaps
    found = fitted.clusters.assign(matrix)
    truth = np.repeat([1, 0, 2], [200, 150, 150])
    assert (found == truth).mean() > 0.98, "the best spending come first"
    large, often, silent = describe(fitted.clusters, "en", "EUR")
    assert "large baskets (20" in large
    assert "buy often (3" in often
    assert "small baskets (7.9 EUR; usual 27)" in often
    assert "silent for long (7" in silent
    assert "购买频繁" in describe(fitted.clusters, "zh", "EUR")[1]
    write_json(tmp_path / "fit.json", fitted.to_dict())
    again = Segments.from_dict(read_json(tmp_path / "fit.json"))
    assert again.clusters is not None
    assert describe(again.clusters, "en", "EUR") == [large, often, silent]
    assert (again.clusters.assign(matrix) == found).all()
    # One customer alone is where they are among others.
    assert [int(again.clusters.assign(matrix[n : n + 1])[0]) for n in (0, 250, 499)] == [
        int(found[n]) for n in (0, 250, 499)
    ]


def test_without_structure_nothing_is_made_of_it():
    cloud = Segments.fit(buyers([(600, {})]), DAY, seed=7)
    assert cloud.clusters is None or not cloud.clusters.gaps
    assert cloud.clusters or "no number of clusters comes back" in cloud.why
    few = Segments.fit(buyers([(FEWEST_TO_CLUSTER - 1, {})]), DAY, seed=7)
    assert few.clusters is None
    assert few.rfm is not None
    assert few.why == "199 have bought; clusters need 200, or they are chance"
    same = np.ones((300, len(NAMES)))
    assert "fewer than two habits" in Segments.fit(same, DAY, seed=7).why
    with pytest.raises(WorkspaceError, match="segments --refit"):
        Segments.from_dict({"format": 0})


def test_habits_alone_divide_and_each_has_its_words():
    who = {"region", "age_group", "acquisition_channel", "marketing_consent", "acquisition_cost"}
    assert not who & set(traits.NAMES)
    assert set(traits.NAMES) <= set(NAMES)
    for language in LANGUAGES:
        assert set(PHRASES[language]) == set(traits.NAMES)


def customers_file(folder: Path) -> Path:
    """Three editions of one customer, an undated row, one of tomorrow."""
    path = folder / "customers.parquet"
    today = day_number(DAY)
    rows = [
        (1, today - 9, "north", '{"plan": "basic"}'),
        (1, today - 2, "south", None),
        (1, today + 1, "west", '{"plan": "gold"}'),
        (2, None, "east", '{"plan": "gold", "seats": 3}'),
    ]
    frame = pl.DataFrame(
        rows, schema=["customer_id", "known_day", "region", "attributes"], orient="row"
    )
    frame.with_columns(
        (pl.col("known_day") * 86_400_000_000).cast(pl.Datetime("us", "UTC")).alias("valid_from"),
        pl.lit(None, pl.String).alias("age_group"),
        pl.lit(None, pl.String).alias("acquisition_channel"),
    ).write_parquet(path)
    return path


def test_slices_are_of_what_was_known_and_hold_everybody(tmp_path: Path):
    known = attributes_on(customers_file(tmp_path), DAY)
    rows = {row["customer_id"]: row for row in known.to_dicts()}
    assert (rows[1]["region"], rows[1]["plan"]) == ("south", "basic")
    assert (rows[2]["region"], rows[2]["plan"], rows[2]["seats"]) == ("east", "gold", "3")
    many = pl.DataFrame({"customer_id": range(1, 101)}).with_columns(
        pl.lit(value=True).alias("is_buyer"),
        (pl.col("customer_id") / 100).alias("churn_probability"),
        pl.lit(2.0).alias("clv_12m"),
        pl.lit(1.0).alias("profit_to_date"),
    )
    names = pl.DataFrame({"customer_id": range(1, 91)}).with_columns(
        (pl.col("customer_id") % 30).cast(pl.String).alias("branch"),
        pl.lit(None, pl.String).alias("age_group"),
    )
    (branch,), left_out = slice_by(many, names, ["branch"], [])
    assert branch.sensitive
    assert left_out == {"age_group": "says nothing of anybody"}
    assert sum(row["customers"] for row in branch.rows) == 100
    assert [row["value"] for row in branch.rows[-2:]] == [OTHER, UNKNOWN]
    assert branch.rows[0]["few"]
    alone = names.with_columns(branch=pl.when(pl.col("customer_id") == 7).then(pl.lit("anna")))
    ((told,), _) = slice_by(many, alone, [], ["branch"])
    assert [row["value"] for row in told.rows] == [OTHER, UNKNOWN], "nobody is told by name"
    for row in branch.rows:
        assert 0 <= row["churn_probability_lower"] <= row["churn_probability"]
        assert row["churn_probability"] <= row["churn_probability_upper"] <= 1


def test_the_verb_divides_everybody_and_a_later_day_by_the_same_fit(
    trained: dict[str, Any], tmp_path: Path
):
    root = shutil.copytree(trained["workspace"], tmp_path / "w")
    out = tmp_path / "segments.csv"
    first = succeed(root, "segments", "--as-of", "2024-05-31", "--out", out)
    assert first["refitted"]
    assert pl.read_csv(out).height == first["customers"]
    later = succeed(root, "segments", "--as-of", shop.LAST_DAY)
    assert (later["refitted"], later["fitted_on"]) == (False, "2024-05-31")
    rows = pl.read_parquet(root / "segments" / f"{shop.LAST_DAY}.parquet")
    assert rows.height == later["customers"] == trained["score"]["customers"]
    assert rows["customer_id"].to_list() == pl.read_parquet(trained["out"])["customer_id"].to_list()
    assert sum(cell["customers"] for cell in later["value_grid"]) == later["buyers"]
    if later["clusters"]:
        assert sum(one["customers"] for one in later["clusters"]) == later["buyers"]
        assert all(set(one["words"]) == set(LANGUAGES) for one in later["clusters"])
    else:
        assert later["why"]
    assert succeed(root, "segments", "--refit")["fitted_on"] == shop.LAST_DAY
    wrong = run(root, "segments", "--by", "shoe_size")
    assert wrong.exit_code == 1
    assert "--by shoe_size is no column of the customers table; none has been" in wrong.output
