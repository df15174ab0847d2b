"""The lifecycle report says what the orders say, in both languages, on a page for everybody."""

from __future__ import annotations

import json
import re
import shutil
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pytest
import shop
from browser import Browser
from browser import browser as browser  # noqa: PLC0414 - a fixture
from conftest import run, succeed
from test_real_orders import ONLINE_RETAIL_MAP

from pipelines.report.words import load_words
from serving.sentences import LANGUAGES

SILENT = 60
PERIODS = ("2023-09", "2023-11", "2024-06")
LATIN = re.compile(r"[A-Za-z]{3,}")


@pytest.fixture(scope="module")
def told(trained: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The report of the trained shop, and of a copy with every table; each in a language."""
    folder = tmp_path_factory.mktemp("report")
    workspace = shutil.copytree(trained["workspace"], folder / "w")
    others = [
        word for table, path in shop.write_others(folder).items() for word in (f"--{table}", path)
    ]
    english = folder / "report.html"
    plain = succeed(workspace, "report", "--out", english, "--history", 1)
    (file,) = (workspace / "scores").glob(f"v*/{shop.LAST_DAY}.parquet")
    scores = pl.read_parquet(file)
    succeed(workspace, "ingest", *others)
    chinese = folder / "report.zh.html"
    full = succeed(workspace, "report", "--lang", "zh", "--out", chinese, "--history", 1)
    return {
        "workspace": workspace,
        "plain": plain,
        "scores": scores,
        "full": full,
        "english": english,
        "chinese": chinese,
    }


@pytest.fixture(scope="module")
def raw(export: Path) -> pd.DataFrame:
    """The orders as they were exported: a row an order and day, with pandas alone."""
    lines = pd.read_parquet(export)
    # What arrived later is not known on the last day.
    lines = lines[lines["seen"] < "2024-07-01"].drop_duplicates()
    lines["paid"] = (lines["units"] * lines["price"]).round(4)
    lines["day"] = lines["when"].dt.normalize()
    return lines.groupby(["client", "invoice", "day"], as_index=False)["paid"].sum()


def recomputed(raw: pd.DataFrame, key: str, silent_days: int) -> dict[str, float]:
    """What a month was, from orders (a row an order and day: client, day, paid) alone."""
    bought = raw[raw["paid"] > 0]
    days = bought.groupby(["client", "day"], as_index=False)["paid"].sum()
    first = days.groupby("client")["day"].min()
    start = pd.Timestamp(f"{key}-01")
    end, eve = start + pd.offsets.MonthEnd(0), start - pd.Timedelta(days=1)
    inside = raw[raw["day"].between(start, end)]
    orders = inside[inside["paid"] > 0]
    seen = days[days["day"].between(start, end)]
    before = days[days["day"].between(start - pd.offsets.MonthBegin(1), eve)]
    buyers, former = set(seen["client"]), set(before["client"])
    new = first[first.between(start, end)]
    last = last_days(days, eve)
    active = last[(eve - last).dt.days <= silent_days]
    silent = set(last[(eve - last).dt.days > silent_days].index)
    ends = last_days(days, end).reindex(active.index)
    gone = ends[(end - ends).dt.days > silent_days]
    latest = seen.groupby("client")["day"].max()
    returning = (latest > first.reindex(latest.index)).sum()
    return {
        "net_sales": inside["paid"].sum(),
        "orders": len(orders),
        "buyers": len(buyers),
        "order_value": orders["paid"].mean(),
        "new_customers": len(new),
        "first_order_value": seen.merge(new.rename("day").reset_index())["paid"].mean(),
        "repeat_rate": returning / len(buyers),
        "frequency": len(orders) / len(buyers),
        "repurchase_rate": len(former & buyers) / len(former),
        "churn_rate": len(gone) / len(active),
        "retention_rate": 1 - len(gone) / len(active),
        "customers_lost": len(gone),
        "win_back_rate": len(silent & buyers) / len(silent),
    }


def check_indicators(report: dict[str, Any], raw: pd.DataFrame, key: str) -> None:
    given = report["indicators"]
    for name, value in recomputed(raw, key, report["silent_days"]).items():
        point = given[name]["periods"][key]
        if pd.isna(value):
            assert point["value"] is None, (name, key)
            continue
        assert point["value"] == pytest.approx(value, rel=1e-9), (name, key)
        assert point["low"] <= point["value"] <= point["high"], (name, key)


@pytest.mark.parametrize("key", PERIODS)
def test_every_indicator_of_orders_is_that_of_the_raw_orders(
    told: dict[str, Any], raw: pd.DataFrame, key: str
):
    assert told["plain"]["silent_days"] == SILENT
    check_indicators(told["plain"], raw, key)


def test_the_report_of_online_retail_is_that_of_its_raw_orders(
    online_retail: Path, browser: Browser, tmp_path: Path
):
    options = [word for pair in ONLINE_RETAIL_MAP for word in ("--map", pair)]
    succeed(tmp_path / "w", "ingest", "--orders", online_retail, *options)
    lines = pd.read_parquet(online_retail).dropna(subset=["Customer ID"])
    lines["paid"] = lines["Quantity"] * lines["Price"]
    lines["day"] = lines["InvoiceDate"].dt.normalize()
    lines = lines.rename(columns={"Customer ID": "client"})
    orders = lines.groupby(["client", "Invoice", "day"], as_index=False)["paid"].sum()
    orders["paid"] = orders["paid"].round(4)
    for language in LANGUAGES:
        page = tmp_path / f"{language}.html"
        words = ("--as-of", "2011-02-28", "--lang", language, "--out", page)
        report = succeed(tmp_path / "w", "report", *words)
        browser.review(page, f"retail-{language}")
    for key in ("2010-07", "2010-12", "2011-02"):
        check_indicators(report, orders, key)
    assert report["findings"]["changed"][0].startswith("向好")


def test_what_actions_brought_is_that_of_the_arms(browser: Browser, tmp_path: Path):
    files = tmp_path / "shop"
    succeed(tmp_path / "w", "simulate", "--customers", 1500, "--seed", 3, "--out", files)
    tables = ("orders", "customers", "interactions", "treatments")
    options = [word for one in tables for word in (f"--{one}", files / f"{one}.parquet")]
    settings = ("--settings", files / "lifecycle.yaml")
    succeed(tmp_path / "w", "ingest", *settings, *options)
    for language in reversed(LANGUAGES):
        page = tmp_path / f"shop-{language}.html"
        words = (*settings, "--lang", language, "--out", page)
        report = succeed(tmp_path / "w", "report", *words)
        browser.review(page, page.stem)
    past = report["actions"]
    drawn = pd.read_parquet(files / "treatments.parquet")
    drawn["day"] = drawn["at"].dt.tz_localize(None).dt.normalize()
    drawn = drawn[drawn["day"].between(past["first"], past["last"])]
    assert sum(one["treated"] for one in past["effects"]) == (drawn["arm"] == "treated").sum()
    orders = pd.read_parquet(files / "orders.parquet")
    orders["day"] = orders["ordered_at"].dt.tz_localize(None).dt.normalize()
    orders = orders[orders["amount"] > 0][["customer_id", "day"]]
    for one in (effect for effect in past["effects"] if effect["buyers"]["value"] is not None):
        mine = drawn[drawn["action"] == one["action"]].reset_index(names="row")
        after = mine.merge(orders, on="customer_id", suffixes=("", "_bought"))
        gap = (after["day_bought"] - after["day"]).dt.days
        mine["bought"] = mine["row"].isin(after["row"][gap.between(1, past["horizon_days"])])
        rates = mine.groupby("arm")["bought"].mean()
        # What was done before is taken out of the report's figure, which moves it a little.
        difference = rates["treated"] - rates["control"]
        assert one["buyers"]["low"] < difference < one["buyers"]["high"]


def last_days(days: pd.DataFrame, until: pd.Timestamp) -> pd.Series:
    return days[days["day"] <= until].groupby("client")["day"].max()


def test_cohorts_and_concentration_are_those_of_the_raw_orders(
    told: dict[str, Any], raw: pd.DataFrame
):
    bought = raw[raw["paid"] > 0]
    first = bought.groupby("client")["day"].min().dt.to_period("M")
    months = bought.assign(month=bought["day"].dt.to_period("M"))[["client", "month"]]
    months = months.drop_duplicates()
    months["since"] = (months["month"] - months["client"].map(first)).map(lambda gap: gap.n)
    for cohort in told["plain"]["retention"]["cohorts"]:
        mine = first[first == pd.Period(cohort["period"]["first"], "M")].index
        assert cohort["customers"] == len(mine)
        for since, point in enumerate(cohort["bought"]):
            some = months[(months["since"] == since) & months["client"].isin(mine)]
            assert point["value"] == pytest.approx(len(some) / len(mine))
    year = raw[raw["day"] > "2023-07-01"].groupby("client")["paid"].sum().clip(lower=0)
    ranked = year.sort_values().to_numpy()
    n = len(ranked)
    ranks = range(1, n + 1)
    gini = (
        2 * sum(r * v for r, v in zip(ranks, ranked, strict=True)) / n / ranked.sum() - (n + 1) / n
    )
    assert told["plain"]["retention"]["spent"]["gini"] == pytest.approx(gini)


def test_indicators_of_the_other_tables_are_those_of_their_files(
    told: dict[str, Any], raw: pd.DataFrame
):
    given = told["full"]["indicators"]
    bought = raw[raw["paid"] > 0]
    first = bought.groupby("client")["day"].min()
    start, end = pd.Timestamp("2024-06-01"), pd.Timestamp("2024-06-30")
    did = shop.interactions().to_pandas()
    did = did[did["arrived_at"] < "2024-07-01"].assign(day=lambda rows: rows["at"].dt.normalize())
    june = did[did["day"].between(start, end)]
    surveys = june[(june["kind"] == "survey") & june["value"].notna()]
    assert value(given, "satisfaction") == pytest.approx(surveys["value"].mean())
    still = june["customer_id"].map(first)
    waiting = june[still.isna() | (june["day"] <= still)]
    assert value(given, "exposure") == (waiting["kind"] == "impression").sum()
    terms = shop.contracts().to_pandas()
    ended = terms[terms["ends_at"].dt.normalize().between(start, end)]
    known = ended["renewed_at"].notna() & (ended["renewed_at"] < "2024-07-01")
    assert value(given, "renewal_rate") == pytest.approx(known.mean())
    people = shop.customers().to_pandas().sort_values("valid_from")
    last = people.groupby("customer_id")[["referred_by", "acquisition_cost"]].last()
    new = first[first.between(start, end)].index
    if len(new):
        assert value(given, "acquisition_cost") == pytest.approx(
            last["acquisition_cost"].reindex(new).mean()
        )


def value(given: dict[str, Any], key: str) -> float:
    return float(given[key]["periods"]["2024-06"]["value"])


def test_value_and_moves_are_those_of_the_scores(told: dict[str, Any]):
    report, scores = told["plain"], told["scores"]
    by_stage = {row["stage"]: row for row in report["stages"]}
    assert sum(row["customers"] for row in by_stage.values()) == scores.height
    for stage, rows in scores.group_by("lifecycle_stage"):
        assert by_stage[stage[0]]["customers"] == rows.height
        assert by_stage[stage[0]]["value"] == pytest.approx(rows["clv_12m"].sum())
    here = scores.filter(pl.col("lifecycle_stage") != "churned")
    at_risk = sum(cell["at_risk"] for cell in report["worth"]["grid"])
    assert at_risk == pytest.approx(here["value_at_risk"].sum())
    assert report["filled"] == ["2024-05-31"]
    assert report["flow"]["days"] == ["2024-05-31", "2024-06-30"]
    assert report["flow"]["hindsight"][0]
    moved = report["flow"]["moves"][0]
    assert [sum(row[place] for row in moved) for place in range(8)] == report["flow"]["counts"][1]


def test_a_look_at_the_past_changes_nothing_that_is_said_next(
    trained: dict[str, Any], tmp_path: Path
):
    root = tmp_path / "w"
    shutil.copytree(trained["workspace"], root)
    scored = next((root / "scores").rglob("2024-06-30.parquet"))
    before = scored.read_bytes()
    report = succeed(root, "report", "--out", tmp_path / "r.html", "--history", 2)
    assert report["filled"] == ["2024-04-30", "2024-05-31"]
    assert scored.read_bytes() == before
    assert not succeed(root, "score")["computed"]
    # What is scored by name counts as said, from then on.
    assert succeed(root, "score", "--as-of", "2024-05-31")["computed"]
    assert succeed(root, "score")["computed"]
    assert pl.read_parquet(scored)["stage_before"].drop_nulls().len() > 0


def test_what_is_not_known_is_no_zero_and_says_what_would_bring_it(told: dict[str, Any]):
    plain, full = told["plain"]["indicators"], told["full"]["indicators"]
    for key in ("exposure", "renewal_rate", "satisfaction", "complaint_rate", "acquisition_cost"):
        assert plain[key]["missing"] is not None
        assert plain[key]["periods"] == {}
        assert full[key]["missing"] is None, key
    page = told["english"].read_text(encoding="utf-8")
    assert "lifecycle ingest --contracts FILE" in page
    assert "lifecycle ingest --contracts FILE" not in told["chinese"].read_text(encoding="utf-8")


def test_nothing_on_the_page_is_left_in_the_other_language(told: dict[str, Any]):
    page = told["chinese"].read_text(encoding="utf-8")
    visible = re.sub(r"<(style|script).*?</\1>|<code>.*?</code>|<[^>]+>", " ", page, flags=re.S)
    allowed = {"CSV", "Holm", "Wilson", "Newcombe", "orders", "discount"}
    channels = {"search", "shop", "friend", "delivery", "price", "quality"}
    kinds = {"reminder", "coupon", "call"}
    assert set(LATIN.findall(visible)) <= allowed | channels | kinds
    assert not re.search("[\u4e00-\u9fff]", told["english"].read_text(encoding="utf-8"))


def test_both_languages_have_words_for_the_same():
    def places(words: Any, path: str = "") -> dict[str, list[str]]:
        if isinstance(words, dict):
            found: dict[str, list[str]] = {}
            for key, one in words.items():
                found |= places(one, f"{path}.{key}")
            return found
        text = " ".join(words) if isinstance(words, list) else str(words)
        return {path: sorted(set(re.findall(r"\{\w+\}", text)))}

    assert places(load_words("en")) == places(load_words("zh"))


def test_the_page_names_no_customer_and_mlflow_keeps_it(told: dict[str, Any]):
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{told['workspace']}/mlflow/mlflow.db")
    run_of = client.get_run(told["full"]["run_id"])
    assert told["plain"]["run_id"] == told["full"]["run_id"], "one run a day and kind of period"
    names = {file.path for file in client.list_artifacts(run_of.info.run_id)}
    assert names == {"report.en.html", "report.zh.html", "report.json"}
    kept = told["full"]["indicators"]["churn_rate"]["periods"]["2024-06"]["value"]
    assert run_of.data.metrics["loss/churn_rate"] == pytest.approx(kept)
    assert "customer_id" not in json.dumps(told["full"])


def test_a_report_needs_no_model_and_refuses_what_it_cannot_say(ingested: Path, tmp_path: Path):
    workspace = shutil.copytree(ingested, tmp_path / "w")
    said = succeed(workspace, "report", "--as-of", "2024-06-10", "--out", tmp_path / "r.html")
    assert said["stages"] == []
    assert said["periods"][-1]["key"] == "2024-05", "June is not over"
    assert "lifecycle train" in (tmp_path / "r.html").read_text(encoding="utf-8")
    early = run(workspace, "report", "--as-of", "2023-01-20")
    assert early.exit_code == 1
    assert "no whole month lies between" in early.output
    assert "is no .html" in run(workspace, "report", "--out", tmp_path / "r.pdf").output
    last = date(2024, 6, 30) + timedelta(days=1)
    assert "outside the data" in run(workspace, "report", "--as-of", last).output


def test_the_page_with_every_table_is_for_everybody(told: dict[str, Any], browser: Browser):
    browser.review(told["chinese"], "report-chinese")


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_customer_has_a_page_in_both_languages(
    told: dict[str, Any], raw: pd.DataFrame, browser: Browser, tmp_path: Path, language: str
):
    one = 7
    page = tmp_path / "customer.html"
    said = succeed(
        told["workspace"], "report", "--customer", one, "--lang", language, "--out", page
    )
    mine = raw[raw["client"] == one]
    assert sum(said["months"].values()) == pytest.approx(mine["paid"].sum())
    orders = [event for event in said["events"] if event["kind"] in ("order", "return")]
    assert len(orders) == len(mine)
    assert said["answer"]["reasons_method"] == "exact"
    assert [entry["day"] for entry in said["said"]] == ["2024-05-31", "2024-06-30"]
    browser.review(page, f"customer-{language}")
    wrong = run(told["workspace"], "report", "--customer", "nobody")
    assert "named by numbers here" in wrong.output
