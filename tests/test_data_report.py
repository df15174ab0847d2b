"""The data report: what it says is so, and it can be opened without a network."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import polars as pl
import pytest
import shop
from conftest import succeed

from features.catalogue import FEATURES
from features.settings import Settings
from pipelines.data_facts import DataFacts, data_facts


@pytest.fixture(scope="module")
def whole(export: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with all five tables."""
    folder = tmp_path_factory.mktemp("whole")
    others = shop.write_others(folder)
    files = [word for table, path in others.items() for word in (f"--{table}", path)]
    succeed(folder / "w", "ingest", "--orders", export, *shop.map_options(), *files)
    return folder / "w"


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.figures = 0
        self.loaded: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "path", "use", "br"):
            self.open.append(tag)
        self.figures += tag == "figure"
        self.loaded += [str(v) for k, v in attributes if k == "src" or (k == "href" and tag == "a")]

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_whole_and_loads_nothing(whole: Path):
    said = succeed(whole, "data")
    page = Path(said["file"]).read_text()
    tags = Tags()
    tags.feed(page.removeprefix("<!doctype html>"))
    assert tags.open == []
    assert tags.figures == 5 + len(said["others"]) == 9
    assert not tags.loaded
    assert not re.search(r"url\(http|@import|<script", page)


def test_the_same_data_give_the_same_page(whole: Path, tmp_path: Path):
    pages = []
    for name in ("one.html", "other.html"):
        succeed(whole, "data", "--out", tmp_path / name)
        pages.append((tmp_path / name).read_bytes())
    assert pages[0] == pages[1]


def test_its_figures_are_those_of_the_orders(whole: Path, export: Path):
    facts = succeed(whole, "data")["orders"]
    lines = pl.read_parquet(export)
    assert facts["net"] == pytest.approx((lines["units"] * lines["price"]).sum(), abs=0.01)
    assert facts["customers"] == lines["client"].n_unique()
    months = facts["months"]
    assert sum(m["first_orders"] + m["repeat_orders"] for m in months) == facts["orders"]
    assert sum(m["net"] for m in months) == pytest.approx(facts["net"])
    assert len(months) == 18


def test_it_says_what_an_absent_table_costs(ingested: Path):
    said = succeed(ingested, "data")
    assert set(said["absent"]) == {"customers", "interactions", "treatments", "contracts"}
    for table, count in said["absent"].items():
        assert count == sum(feature.table == table for feature in FEATURES)
        assert any(f"Without {table}, {count} features" in words for words in said["advice"])


def test_a_file_name_with_markup_stays_text(export: Path, tmp_path: Path):
    named = tmp_path / "<b>orders<b>.parquet"
    named.write_bytes(export.read_bytes())
    succeed(tmp_path / "w", "ingest", "--orders", named, *shop.map_options())
    page = Path(succeed(tmp_path / "w", "data")["file"]).read_text()
    assert "<b>" not in page
    assert "&lt;b&gt;orders" in page


@pytest.mark.parametrize(("gap", "words"), [(30, "means something"), (200, "consider 203 days")])
def test_the_horizon_is_weighed_against_the_customers_own_gaps(
    gap: int, words: str, tmp_path: Path
):
    facts = facts_of([0, gap, 2 * gap], tmp_path)
    assert words in facts.advice[0]


def facts_of(days: list[int], folder: Path) -> DataFacts:
    lines = pl.DataFrame(
        {
            "customer_id": [1] * len(days),
            "order_key": [str(day) for day in days],
            "event_day": pl.Series([18_000 + day for day in days], dtype=pl.Int32),
            "known_day": pl.Series([18_000 + day for day in days], dtype=pl.Int32),
            "amount_e4": [10_000] * len(days),
            **{name: ["x"] * len(days) for name in ("category", "channel")},
            **{name: [1] * len(days) for name in ("quantity", "discount_e4", "cost_e4")},
        }
    )
    lines.write_parquet(folder / "orders.parquet")
    set_to = Settings.load(overrides={"churn": {"horizon_days": 91}})
    return data_facts({"orders": folder / "orders.parquet"}, set_to)
