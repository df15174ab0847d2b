"""The four tables beside orders: what a row of each becomes, and how their exports merge."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any, get_args

import polars as pl
import pytest
from conftest import run, succeed
from hypothesis import given
from hypothesis import strategies as st
from ingesting import GOOD, PLAIN, QUICK, check_sums, clean_rows, ingest, moment, tree, write

import features.ingest.schemas
from features.errors import InputError, WorkspaceError
from features.ingest.cleaning import Cleaned
from features.ingest.contract import CONTRACT, KINDS, TABLES, Table
from features.ingest.ledger import Ledger
from features.ingest.schemas import check_table, clean_schema
from features.settings import Settings
from features.workspace import Workspace


def interactions(columns: dict[str, Any], **data: Any) -> Cleaned:
    filled = {"customer_id": ["1"], "at": ["2010-01-01"], "kind": ["visit"]}
    return clean_rows("interactions", filled, columns, **data)


def treatments(columns: dict[str, Any]) -> Cleaned:
    filled = {"customer_id": ["1"], "at": ["2010-01-01"], "action": ["call"], "arm": ["treated"]}
    return clean_rows("treatments", filled, columns)


def terms(columns: dict[str, Any]) -> Cleaned:
    filled = {"customer_id": ["1"], "contract_id": ["a"], "starts_at": ["2010-01-01"]}
    return clean_rows("contracts", filled, columns)


def customers(columns: dict[str, Any], mapping: dict[str, str] | None = None) -> Cleaned:
    return clean_rows("customers", {"customer_id": ["1"]}, columns, mapping)


# The contract


def test_every_clean_column_is_read_from_the_contract_or_derived():
    for table in TABLES:
        contract = CONTRACT[table]
        sources = {column.source for column in contract.clean if column.source}
        assert sources | {"unit_price"} >= set(contract.names)
        assert all(column.meaning for column in contract.columns)
        assert all(column.meaning or column.source for column in contract.clean)
        assert set(contract.sorted_by) == set(clean_schema(table))
        assert contract.sorted_by[0] == "customer_id"
    assert get_args(Table) == TABLES


def test_a_small_file_of_each_table_is_taken(tmp_path: Path):
    workspace = Workspace(tmp_path / "shop")
    for place, table in enumerate(TABLES, start=1):
        report = ingest(workspace, write(tmp_path, GOOD[table], f"{table}.csv"), table=table)
        assert (report.table, report.counts["kept"], report.changed) == (table, 2, True)
        assert len(Ledger(workspace).tables) == place
        assert " ".join(report.sentences()).startswith(f"2 {CONTRACT[table].rows} read from")
    check_sums(Ledger(workspace))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (pl.col("amount_e4") * 10**12, "amount_e4"),
        (pl.lit(None, pl.Int64).alias("amount_e4"), "amount_e4"),
        (pl.lit(1.5).alias("amount_e4"), "amount_e4"),
        (pl.lit(0, pl.Int32).alias("known_day"), "known_day is never before event_day"),
        (pl.lit(1).alias("more"), "more"),
    ],
)
def test_what_breaks_the_contract_is_never_written(change: pl.Expr, message: str, tmp_path: Path):
    workspace = Workspace(tmp_path / "shop")
    ingest(workspace, write(tmp_path, PLAIN))
    rows = pl.read_parquet(Ledger(workspace).orders_path)
    check_table("orders", rows)
    with pytest.raises(WorkspaceError, match=f"break the data contract .*{message}"):
        check_table("orders", rows.with_columns(change))


def test_the_check_stands_before_the_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    workspace = Workspace(tmp_path / "shop")
    ingest(workspace, write(tmp_path, PLAIN))
    before = tree(workspace.root)

    def refuse(*_: Any) -> None:
        raise WorkspaceError("broken")

    monkeypatch.setattr("features.ingest.edition.check_table", refuse)
    with pytest.raises(WorkspaceError, match="broken"):
        ingest(workspace, write(tmp_path, PLAIN + "3,2010-01-01,1\n", "more.csv"))
    assert tree(workspace.root) == before
    assert features.ingest.schemas.check_table is check_table


# Interactions


@pytest.mark.parametrize(
    ("written", "kind"),
    [
        ("email_open", "email_open"),
        ("Email Open", "email_open"),
        (" EMAIL-OPEN ", "email_open"),
        ("EmailOpen", "email_open"),
        ("newsletter", "event"),
        ("event", "event"),
        ("PDP", "product_view"),
        ("pdp", "product_view"),
    ],
)
def test_kinds_are_read_forgivingly(written: str, kind: str):
    cleaned = interactions({"kind": [written]}, kinds={"PDP": "product_view"})
    assert cleaned.rows["kind"].to_list() == [kind]
    assert cleaned.counts["unknown_kind"] == (written == "newsletter")


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_itself(kind: str):
    assert interactions({"kind": [kind]}).rows["kind"].to_list() == [kind]


def test_unknown_kinds_are_reported_with_the_commonest_and_the_remedy(tmp_path: Path):
    content = "customer_id,at,kind\n" + "1,2010-01-01,signup\n" * 2 + "1,2010-01-01,login\n"
    report = ingest(Workspace(tmp_path / "w"), write(tmp_path, content), table="interactions")
    assert (
        "3 interactions are of a kind that the contract does not know, mostly 'signup', and are "
        "kept as event; say what they are in data.kinds." in report.sentences()
    )
    assert report.counts["duplicate_lines"] == 2, "as events they say the same"


def test_an_interaction_is_read():
    cleaned = interactions(
        {
            "customer_id": ["7", "7", ""],
            "at": ["2010-01-01T23:30:00-02:00", "2010-01-02", "2010-01-02"],
            "kind": ["survey", "", "visit"],
            "value": ["4.5", "1", "1"],
            "topic": [" price ", "", ""],
            "cost": ["0.001", "", ""],
            "arrived_at": ["2010-01-05", "", ""],
            "channel": ["mail", "", ""],
        }
    )
    day = 14611
    assert cleaned.rows.rows() == [
        (7, moment(2010, 1, 2, 1, 30), moment(2010, 1, 5), day, day + 3, "survey", 45_000,
         "price", 10, "mail"),
    ]  # fmt: skip
    assert cleaned.quarantine["reason"].to_list() == ["no_kind", "no_customer"]


# Treatments


@pytest.mark.parametrize(
    ("arm", "expected"),
    [("treated", "treated"), (" Control", "control"), ("TREATED", "treated"), ("maybe", None),
     ("", None), ("1", None)],
)  # fmt: skip
def test_an_arm_is_treated_or_control(arm: str, expected: str | None):
    cleaned = treatments({"arm": ["treated", arm]})
    assert cleaned.rows["arm"].to_list()[1:] == ([expected] if expected else [])
    assert cleaned.counts["unknown_arm"] == (expected is None)


@pytest.mark.parametrize(
    ("written", "expected"),
    [("0.5", 0.5), ("1", 1.0), ("0", None), ("-0.1", None), ("1.01", None), ("NaN", None),
     ("half", None), ("", None), ("1e-9", 1e-9)],
)  # fmt: skip
def test_a_propensity_is_a_chance(written: str, expected: float | None):
    cleaned = treatments({"propensity": [written]})
    assert cleaned.rows["propensity"].to_list() == [expected]
    assert cleaned.counts["unreadable_propensity"] == (
        expected is None and written not in ("", "NaN")
    )


def test_a_treatment_without_an_action_is_quarantined():
    cleaned = treatments({"action": ["", "call"], "decision_id": ["1", "7.0"]})
    assert cleaned.quarantine["reason"].to_list() == ["no_action"]
    assert cleaned.rows["decision_id"].to_list() == ["7"]


# Contracts


def test_a_term_is_read_with_its_days():
    cleaned = terms(
        {
            "ends_at": ["2010-12-31", ""],
            "renewed_at": ["2010-12-01", ""],
            "cancelled_at": ["", "2010-02-01 10:00"],
            "arrived_at": ["2010-01-04", ""],
            "fee": ["9.99", ""],
            "plan": ["gold", ""],
        }
    )
    days = cleaned.rows.select(
        "event_day", "known_day", "ends_day", "renewed_day", "cancelled_day", "fee_e4", "plan"
    )
    assert days.rows() == [
        (14610, 14613, 14974, 14944, None, 99_900, "gold"),
        (14610, 14610, None, None, 14641, None, None),
    ]


@pytest.mark.parametrize(
    ("starts_at", "ends_at", "kept"),
    [
        ("2010-01-02", "2010-01-01", False),
        ("2010-01-02", "2010-01-02", True),
        ("2010-01-02 10:00", "2010-01-02", True),
        ("2010-01-02 10:00", "2010-01-02 09:00", False),
        ("2010-01-02", "9999-12-31", True),
        ("2010-01-02", "never", True),
    ],
)
def test_a_term_that_ends_before_it_starts_is_quarantined(starts_at: str, ends_at: str, kept: bool):
    cleaned = terms({"starts_at": [starts_at, "2010-01-01"], "ends_at": [ends_at, "2011-01-01"]})
    assert cleaned.quarantine["reason"].to_list() == ([] if kept else ["ends_before_start"])
    assert cleaned.counts["unbelievable_ends_at"] == ends_at.startswith("9999")
    assert cleaned.counts["unreadable_ends_at"] == (ends_at == "never")


def test_versions_of_a_term_are_kept_and_a_later_row_of_one_wins(tmp_path: Path):
    workspace = Workspace(tmp_path / "w")
    header = "customer_id,contract_id,starts_at,ends_at,arrived_at\n"
    first = header + "1,a,2010-01-01,2010-06-01,2010-01-01\n1,a,2010-01-01,2010-07-01,2010-01-01\n"
    second = header + "1,a,2010-01-01,2010-08-01,2010-01-01\n1,a,2010-01-01,2010-09-01,2010-03-01\n"
    one = ingest(workspace, write(tmp_path, first, "1"), table="contracts")
    two = ingest(workspace, write(tmp_path, second, "2"), table="contracts")
    assert (one.counts["kept"], one.counts["merged"]) == (1, 1)
    assert (two.counts["kept"], two.counts["merged"]) == (1, 1)
    path = Ledger(workspace).path("contracts")
    assert path is not None
    assert pl.read_parquet(path)["ends_day"].to_list() == [14822, 14853]
    check_sums(Ledger(workspace))


# Customers


def test_a_customer_is_dated_by_validity_then_by_registration():
    cleaned = customers(
        {
            "customer_id": ["1", "2", "3", "4", "5"],
            "registered_at": ["2010-01-01", "2010-01-01", "", "", "1900-01-01"],
            "valid_from": ["2010-02-01", "", "2010-03-01", "", ""],
        }
    )
    assert cleaned.rows["event_day"].to_list() == [14641, 14610, 14669, None, None]
    assert cleaned.rows["known_day"].to_list() == cleaned.rows["event_day"].to_list()
    assert cleaned.rows["registered_day"].to_list() == [14610, 14610, None, None, None]
    assert cleaned.counts["undated"] == 2
    assert cleaned.counts["unbelievable_registered_at"] == 1


def test_a_row_true_from_an_unreadable_day_is_not_taken_for_another_days():
    cleaned = customers(
        {"customer_id": ["1", "2", "3"], "valid_from": ["2010-01-01", "soon", "0001-01-01"]}
    )
    assert cleaned.quarantine["reason"].to_list() == ["unreadable_date", "date_out_of_range"]


def test_undated_rows_come_with_the_remedy(tmp_path: Path):
    file = write(tmp_path, "customer_id,region\n1,north\n")
    report = ingest(Workspace(tmp_path / "w"), file, table="customers")
    assert any("undated" in s and "data.static_attributes" in s for s in report.sentences())
    assert report.totals["first_day"] is None
    assert report.totals["undated"] == 1


@pytest.mark.parametrize(
    ("written", "expected"),
    [("yes", True), ("TRUE", True), ("1", True), ("y", True), ("Opt-In", True), ("1.0", True),
     ("no", False), ("False", False), ("0", False), ("N", False), ("opt_out", False),
     ("maybe", None), ("", None), ("2", None)],
)  # fmt: skip
def test_consent_is_yes_no_or_unknown(written: str, expected: bool | None):
    cleaned = customers({"marketing_consent": [written]})
    assert cleaned.rows["marketing_consent"].to_list() == [expected]
    assert cleaned.counts["unreadable_marketing_consent"] == (expected is None and written != "")


def test_typed_consent_is_read():
    cleaned = customers({"marketing_consent": [True, False, None]})
    assert cleaned.rows["marketing_consent"].to_list() == [True, False, None]


def test_nobody_refers_themselves():
    cleaned = customers({"customer_id": ["1", "2", "3"], "referred_by": ["1.0", "1", ""]})
    assert cleaned.rows["referred_by"].to_list() == [None, 1, None]
    assert cleaned.counts["self_referral"] == 1


def test_a_text_referrer_makes_all_ids_text():
    cleaned = customers({"customer_id": ["1", "2"], "referred_by": ["A", ""]})
    assert cleaned.customer_id_type == "text"
    assert cleaned.rows.schema["customer_id"] == cleaned.rows.schema["referred_by"] == pl.String


# What counts as blank among control characters, Python and Polars see differently.
LETTERS = st.characters(codec="utf-8", exclude_categories=["Cc", "Z"]) | st.sampled_from(' "\\\n')
NAMES = st.text(LETTERS, min_size=1, max_size=6).filter(
    lambda name: name.lower() not in CONTRACT["customers"].names
)
CELLS = st.lists(st.none() | st.text(LETTERS, max_size=6), min_size=2, max_size=2)


@QUICK
@given(st.dictionaries(NAMES, CELLS, max_size=5))
def test_attributes_are_the_other_columns_as_json_with_sorted_keys(cells: dict[str, Any]):
    raw = {name: pl.Series(values, dtype=pl.String) for name, values in cells.items()}
    cleaned = customers({"customer_id": ["1", "2"], **raw})
    for place, text in enumerate(cleaned.rows["attributes"]):
        said = {} if text is None else json.loads(text)
        assert list(said) == sorted(said)
        expected = {name: (values[place] or "").strip() for name, values in cells.items()}
        absent = ("", "nan", "null", "none", "<na>", "#n/a")
        assert said == {n: v for n, v in expected.items() if v.lower() not in absent}
        assert text != "{}"


def test_mapped_columns_are_no_attributes():
    cleaned = customers({"Region": ["x"], "land": ["y"], "vip": ["z"]}, {"region": "land"})
    assert cleaned.rows["region"].to_list() == ["y"]
    assert cleaned.rows["attributes"].to_list() == ['{"Region":"x","vip":"z"}']


def test_a_later_export_of_customers_wins(tmp_path: Path):
    workspace = Workspace(tmp_path / "w")
    ingest(
        workspace, write(tmp_path, "customer_id,region\n1,a\n1,b\n2,a\n", "1"), table="customers"
    )
    later = "customer_id,region,valid_from\n1,c,\n2,d,2010-01-01\n"
    report = ingest(workspace, write(tmp_path, later, "2"), table="customers")
    assert (report.counts["kept"], report.counts["merged"]) == (1, 1)
    path = Ledger(workspace).path("customers")
    assert path is not None
    rows = pl.read_parquet(path)
    assert rows.select("customer_id", "region").rows() == [(1, "c"), (2, "a"), (2, "d")]
    check_sums(Ledger(workspace))


# The ledger of several tables


def test_orders_may_come_later_and_are_asked_for(tmp_path: Path):
    workspace = Workspace(tmp_path / "w")
    ingest(workspace, write(tmp_path, GOOD["customers"]), table="customers")
    ledger = Ledger(workspace)
    assert ledger.tables == ("customers",)
    assert ledger.path("orders") is None
    assert ledger.customer_id_type == "integer"
    assert ledger.fingerprint(date(2010, 1, 1))
    for ask in (lambda: ledger.orders_path, lambda: ledger.first_day, lambda: ledger.last_day):
        with pytest.raises(WorkspaceError, match="customers but no orders yet; run `lifecycle"):
            ask()
    ingest(workspace, write(tmp_path, PLAIN))
    assert ledger.orders_path == ledger.path("orders")


@pytest.mark.parametrize("order", [("orders", "customers"), ("customers", "orders")])
def test_one_text_id_in_any_table_makes_every_table_text(
    order: tuple[Table, Table], tmp_path: Path
):
    workspace = Workspace(tmp_path / "w")
    files: dict[Table, str] = {
        "orders": PLAIN + "10,2010-01-01,3\n",
        "customers": "customer_id,referred_by\n1,friend\n",
    }
    for table in order:
        ingest(workspace, write(tmp_path, files[table], table), table=table)
    ledger = Ledger(workspace)
    assert ledger.customer_id_type == "text"
    assert pl.read_parquet(ledger.orders_path)["customer_id"].to_list() == ["1", "10", "2"]
    check_sums(ledger)


def test_ids_become_integers_again_when_the_text_is_gone(tmp_path: Path):
    workspace = Workspace(tmp_path / "w")
    ingest(workspace, write(tmp_path, PLAIN + "10,2010-01-01,3\n"))
    before = (tree(workspace.root / "data"), Ledger(workspace).fingerprint(date(2011, 1, 1)))
    file = write(tmp_path, "customer_id,friend,referred_by\n1,2,x\n", "customers")
    ingest(workspace, file, table="customers")
    ingest(workspace, file, {"referred_by": "friend"}, table="customers")
    ledger = Ledger(workspace)
    assert ledger.customer_id_type == "integer"
    after = tree(workspace.root / "data")
    merged = str(ledger.orders_path.relative_to(workspace.data))
    assert after[merged] == before[0][merged]
    check_sums(ledger)


def test_the_fingerprint_covers_every_table_and_no_later_day(tmp_path: Path):
    workspace = Workspace(tmp_path / "w")
    ingest(workspace, write(tmp_path, PLAIN))
    ledger = Ledger(workspace)
    days = [date(2010, 1, day) for day in (1, 5, 9)]

    def changed_by(content: str, table: Table) -> list[bool]:
        before = [ledger.fingerprint(day) for day in days]
        ingest(workspace, write(tmp_path, content, content[-9:].strip()), table=table)
        after = [ledger.fingerprint(day) for day in days]
        return [a != b for a, b in zip(after, before, strict=True)]

    visit = "customer_id,at,kind,arrived_at\n1,2010-01-01,visit,"
    assert changed_by(visit + "2010-01-20\n", "interactions") == [False, False, False]
    assert changed_by(visit + "2010-01-05\n", "interactions") == [False, True, True]
    customer = "customer_id,valid_from,region\n1,"
    assert changed_by(customer + "2010-01-09,a\n", "customers") == [False, False, True]
    assert changed_by(customer + ",b\n", "customers") == [True, True, True]


def test_facts_in_any_order_have_one_fingerprint_and_one_file(tmp_path: Path):
    facts: list[tuple[Table, str]] = [*GOOD.items()]  # type: ignore[list-item]
    facts.append(("interactions", "customer_id,at,kind\n1,2010-01-01,visit\nx,2010-01-03,cart\n"))
    seen = []
    for name, order in (("one", facts), ("other", facts[::-1])):
        workspace = Workspace(tmp_path / name)
        for place, (table, content) in enumerate(order):
            ingest(workspace, write(tmp_path, content, f"{place}.csv"), table=table)
        ledger = Ledger(workspace)
        check_sums(ledger)
        paths = [path for table in TABLES if (path := ledger.path(table)) is not None]
        prints = [ledger.fingerprint(date(2010, 1, day)) for day in (1, 2, 3)]
        seen.append(([(p.parent.name, p.read_bytes()) for p in paths], prints))
    assert seen[0] == seen[1]


def test_one_file_may_be_two_tables(tmp_path: Path):
    workspace = Workspace(tmp_path / "w")
    file = write(tmp_path, "customer_id,contract_id,starts_at\n1,a,2010-01-01\n")
    ingest(workspace, file, {"registered_at": "starts_at"}, table="customers")
    report = ingest(workspace, file, table="contracts")
    assert report.changed and not report.replaced
    assert Ledger(workspace).tables == ("customers", "contracts")
    assert not ingest(workspace, file, table="contracts").changed


def test_a_new_setting_of_kinds_is_a_new_reading(tmp_path: Path):
    workspace = Workspace(tmp_path / "w")
    file = write(tmp_path, "customer_id,at,kind\n1,2010-01-01,pdp\n")
    ingest(workspace, file, table="interactions")
    report = ingest(workspace, file, table="interactions", kinds={"PDP": "product_view"})
    assert report.replaced
    path = Ledger(workspace).path("interactions")
    assert path is not None
    assert pl.read_parquet(path)["kind"].to_list() == ["product_view"]


# The verb and the settings


def files_of(folder: Path) -> list[str]:
    words = []
    for table, content in GOOD.items():
        words += [f"--{table}", str(write(folder, content, f"{table}.csv"))]
    return words


def test_the_verb_takes_all_tables_at_once(tmp_path: Path):
    said = succeed(tmp_path / "w", "ingest", *files_of(tmp_path))
    assert [report["table"] for report in said["files"]] == list(TABLES)
    again = succeed(tmp_path / "w", "ingest", *files_of(tmp_path))
    assert not any(report["changed"] for report in again["files"])


def test_several_files_of_one_table_are_merged_in_order(tmp_path: Path):
    one = write(tmp_path, PLAIN, "1.csv")
    two = write(tmp_path, PLAIN + "3,2010-01-01,1\n", "2.csv")
    said = succeed(tmp_path / "w", "ingest", "--orders", one, "--orders", two, "--orders", one)
    assert [report["counts"]["kept"] for report in said["files"]] == [2, 1, 0]
    assert [report["changed"] for report in said["files"]] == [True, True, False]
    check_sums(Ledger(Workspace(tmp_path / "w")))


def test_where_one_file_is_refused_none_is_taken(tmp_path: Path):
    words = files_of(tmp_path)
    write(tmp_path, "customer_id,at,kind\n", "interactions.csv")
    result = run(tmp_path / "w", "ingest", *words)
    assert result.exit_code == 1
    assert "interactions.csv has a header but no rows" in result.stderr
    assert not Workspace(tmp_path / "w").exists()


def test_a_mapping_carries_the_table(tmp_path: Path):
    file = write(tmp_path, "who,at,event_type\n1,2010-01-01,visit\n")
    words = ("--map", "interactions.customer_id=who", "--map", "interactions.kind=event_type")
    said = succeed(tmp_path / "w", "ingest", "--interactions", file, *words)
    assert said["mapping"] == {"customer_id": "who", "at": "at", "kind": "event_type"}
    for pair, expected in {
        "kind=event_type": "kind is no column of orders; did you mean interactions.kind?",
        "interaction.kind=x": "interaction.kind names no table; write orders",
        "interactions.kin=x": "kin is no column of interactions; did you mean kind?",
    }.items():
        result = run(tmp_path / "v", "ingest", "--interactions", file, "--map", pair)
        assert expected in result.stderr


def test_files_of_the_settings_are_read_beside_them(tmp_path: Path):
    workspace = tmp_path / "w"
    write(workspace, "data: {orders: o.csv, customers: c.csv}", "lifecycle.yaml")
    write(workspace, PLAIN, "o.csv")
    write(workspace, GOOD["customers"], "c.csv")
    (tmp_path / "s.yaml").write_text("data: {orders: w/o.csv, customers: w/c.csv}")
    said = succeed(tmp_path / "new", "ingest", "--settings", tmp_path / "s.yaml")
    assert [report["source"] for report in said["files"]] == ["o.csv", "c.csv"]


def test_without_a_file_the_options_are_named(tmp_path: Path):
    result = run(tmp_path / "w", "ingest")
    assert "no file to ingest; name one with --orders FILE" in result.stderr


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"kinds": {"pdp": "pdp"}}, "pdp becomes 'pdp', which is none of impression"),
        ({"static_attributes": ["customer_id"]}, "'customer_id' is no attribute of a customer"),
        ({"sensitive_attributes": [""]}, "'' is no attribute"),
        ({"decimal_mark": ";"}, r"data\.decimal_mark"),
    ],
)
def test_a_bad_setting_of_the_data_is_refused(data: dict[str, Any], message: str):
    with pytest.raises(InputError, match=message):
        Settings.load(overrides={"data": data})


def test_a_decimal_mark_settles_what_is_ambiguous(tmp_path: Path):
    file = write(tmp_path, "customer_id,ordered_at,amount\n1,2010-01-01,1.500\n1,2010-01-01,7\n")
    unsettled = ingest(Workspace(tmp_path / "a"), file)
    assert unsettled.counts["ambiguous_amount"] == 1
    for mark, e4 in ((".", 15_000), (",", 15_000_000)):
        workspace = Workspace(tmp_path / f"w{mark}")
        ingest(workspace, file, decimal_mark=mark)
        amounts = pl.read_parquet(Ledger(workspace).orders_path)["amount_e4"].to_list()
        assert amounts == sorted([e4, 70_000])
    with pytest.raises(InputError, match=r"ambiguous_amount; .*set data.decimal_mark"):
        ingest(
            Workspace(tmp_path / "b"),
            write(tmp_path, "customer_id,ordered_at,amount\n1,2010-01-01,1.500\n"),
        )


def test_an_old_export_read_anew_does_not_overrule_a_later_one(tmp_path: Path):
    workspace = tmp_path / "w"
    january, february = tmp_path / "jan.csv", tmp_path / "feb.csv"
    january.write_text("customer_id,valid_from,region\n1,2024-01-05,north\n")
    february.write_text("customer_id,valid_from,region\n1,2024-01-05,south\n")
    settings = tmp_path / "lifecycle.yaml"
    settings.write_text('data: {decimal_mark: "."}\n')
    for words in ([january], [february], [january, "--settings", settings]):
        succeed(workspace, "ingest", "--customers", *words)
    path = Ledger(Workspace(workspace)).path("customers")
    assert path is not None
    assert pl.read_parquet(path)["region"].to_list() == ["south"]
