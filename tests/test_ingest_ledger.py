"""The ledger: exports merged into one, and its bytes depend on their content alone."""

from __future__ import annotations

import hashlib
import shutil
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from itertools import zip_longest
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ingesting import (
    PLAIN,
    SLOW,
    check_sums,
    clean_lines,
    ingest,
    moment,
    scratch,
    tree,
    write,
)

import features.ingest.edition
from features.errors import WorkspaceError
from features.ingest.cleaning import clean
from features.ingest.codes import IdType
from features.ingest.contract import CONTRACT
from features.ingest.ledger import Ledger
from features.ingest.merging import daily_digests, empty, merge_export, typed_ids
from features.settings import DataSettings
from features.workspace import Workspace


def frames_to_files(folder: Path, frames: list[pl.DataFrame]) -> list[Path]:
    files = []
    for place, frame in enumerate(frames):
        file = folder / f"export{place}.parquet"
        frame.write_parquet(file)
        files.append(file)
    return files


@st.composite
def exports(draw: st.DrawFn) -> list[pl.DataFrame]:
    """Two or three overlapping exports over so few values that lines repeat."""
    first = datetime(2010, 1, 1)
    line = st.tuples(
        st.sampled_from(["1", "2", "x"] if draw(st.booleans()) else ["1", "2"]),
        st.sampled_from([first, first + timedelta(days=1), first + timedelta(days=1, hours=1)]),
        st.sampled_from(["1", "2.5"]),
        st.sampled_from(["o1", "o2", None]),
        st.sampled_from([None, first + timedelta(days=2), first + timedelta(days=5)]),
        st.sampled_from([None, "POST", "a|b"]),
    )
    names = ["customer_id", "ordered_at", "amount", "order_id", "arrived_at", "category"]
    lists = st.lists(st.lists(line, min_size=1, max_size=6), min_size=2, max_size=3)
    kinds = {"ordered_at": pl.Datetime("us"), "arrived_at": pl.Datetime("us")}
    return [
        pl.DataFrame(
            rows, schema=[(name, kinds.get(name, pl.String)) for name in names], orient="row"
        )
        for rows in draw(lists)
    ]


@SLOW
@given(exports())
def test_overlapping_exports_merge_by_multiplicity(frames: list[pl.DataFrame]) -> None:
    cleaned = [clean("orders", frame, {}, DataSettings()).rows for frame in frames]
    merged, added = merge_all(cleaned)
    wanted: Counter[tuple[Any, ...]] = Counter()
    arrivals: dict[tuple[Any, ...], list[datetime]] = {}
    for lines in cleaned:
        seen = by_identity(lines)
        wanted |= Counter({line: len(times) for line, times in seen.items()})
        for line, times in seen.items():
            # The first copy of one export is the first copy of the other.
            pairs = zip_longest(arrivals.get(line, []), times, fillvalue=FAR)
            arrivals[line] = [min(pair) for pair in pairs]
    found = by_identity(merged)
    assert Counter({line: len(times) for line, times in found.items()}) == wanted
    assert found == arrivals
    assert sum(added) == merged.height


def test_copies_are_paired_by_arrival() -> None:
    twice = clean_lines({"arrived_at": ["2010-01-05", "2010-01-02"]}).rows
    once = clean_lines({"arrived_at": ["2010-01-03"]}).rows
    merged, added = merge_all([twice, once])
    assert merged["arrived_at"].to_list() == [moment(2010, 1, 2), moment(2010, 1, 5)]
    assert merged["known_day"].to_list() == [14611, 14614]
    assert added == [2, 0]


def merge_all(exports: list[pl.DataFrame]) -> tuple[pl.DataFrame, list[int]]:
    text = any(export.schema["customer_id"] == pl.String for export in exports)
    id_type: IdType = "text" if text else "integer"
    rows, added = empty("orders", id_type), []
    for export in exports:
        merged = merge_export("orders", rows, typed_ids("orders", export, id_type))
        rows = merged.rows
        added.append(merged.added)
    return rows, added


FAR = datetime(9999, 1, 1, tzinfo=UTC)


def by_identity(lines: pl.DataFrame) -> dict[tuple[Any, ...], list[datetime]]:
    as_text = lines.cast({"customer_id": pl.String}).sort("arrived_at")
    found: dict[tuple[Any, ...], list[datetime]] = {}
    for *line, arrived in as_text.select(*CONTRACT["orders"].identity, "arrived_at").rows():
        found.setdefault(tuple(line), []).append(arrived)
    return found


@SLOW
@given(exports(), st.randoms(use_true_random=False))
def test_the_ledger_depends_on_no_order(frames: list[pl.DataFrame], random: Any) -> None:
    with scratch() as folder:
        shuffled = [f.sample(fraction=1, shuffle=True, seed=random.randrange(99)) for f in frames]
        random.shuffle(shuffled)
        ledgers = []
        for name, order in (("one", frames), ("other", shuffled)):
            ledger = Ledger(Workspace(folder / name))
            for place, frame in enumerate(order):
                digest = hashlib.sha256(f"{name}{place}".encode()).hexdigest()
                ledger.add_export("orders", Path(f"{place}.csv"), frame, digest, {}, DataSettings())
            ledgers.append(ledger)
        one, other = ledgers
        assert one.orders_path.read_bytes() == other.orders_path.read_bytes()
        assert one.manifest()["tables"] == other.manifest()["tables"]
        days = [ledger.orders_path.parent / "days.parquet" for ledger in ledgers]
        assert days[0].read_bytes() == days[1].read_bytes()
        assert one.fingerprint(date(2010, 1, 2)) == other.fingerprint(date(2010, 1, 2))
        check_sums(one)
        check_sums(other)


def test_the_same_file_twice_changes_nothing(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "shop")
    file = write(tmp_path, PLAIN + ",2010-01-01,3\n")
    first = ingest(workspace, file)
    before = tree(workspace.root)
    again = ingest(workspace, write(tmp_path / "elsewhere", file.read_bytes(), "copy.csv"))
    assert tree(workspace.root) == before
    assert (first.changed, again.changed) == (True, False)
    assert (first.counts["kept"], first.counts["merged"]) == (2, 0)
    assert (again.counts["kept"], again.counts["merged"], again.counts["quarantined"]) == (0, 2, 1)
    assert "nothing changed" in again.sentences()[0]


def test_an_overlap_is_counted_as_merged(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "shop")
    ingest(workspace, write(tmp_path, PLAIN))
    report = ingest(workspace, write(tmp_path, PLAIN + "2,2010-01-02,7.50\n", "more.csv"))
    assert (report.counts["kept"], report.counts["merged"]) == (1, 2)
    assert report.totals["lines"] == 3
    assert "3 lines read from more.csv: 1 kept, 2 already there, 0 quarantined." in " ".join(
        report.sentences()
    )


def test_another_mapping_replaces_the_former_reading(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "shop")
    file = write(tmp_path, "customer_id,ordered_at,net,gross\nA,2010-01-01,1,2\n")
    ingest(workspace, file, {"amount": "net"})
    report = ingest(workspace, file, {"amount": "gross"})
    ledger = Ledger(workspace)
    assert report.replaced and report.changed
    assert pl.read_parquet(ledger.orders_path)["amount_e4"].to_list() == [20000]
    assert len(ledger.manifest()["exports"]) == 1
    assert len(list((workspace.data / "exports").iterdir())) == 1
    assert len(list((workspace.data / "quarantine").iterdir())) == 1
    check_sums(ledger)


def test_a_changed_setting_is_a_new_reading(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "shop")
    file = write(tmp_path, "customer_id,ordered_at,amount,category\n1,2010-01-01,1,gift wrap\n")
    other = write(
        tmp_path, "customer_id,ordered_at,amount,category\n2,2010-01-01,1,Gift Wrap\n", "b"
    )
    ingest(workspace, file)
    ingest(workspace, other)
    assert ingest(workspace, file, non_product_categories=["GIFT WRAP"]).changed
    assert not pl.read_parquet(Ledger(workspace).orders_path)["is_product"].any()
    check_sums(Ledger(workspace))


def test_another_date_format_is_a_new_reading(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "shop")
    file = write(tmp_path, "customer_id,ordered_at,amount\n1,01/02/2010,1\n")
    ingest(workspace, file, date_format="%d/%m/%Y")
    report = ingest(workspace, file, date_format="%m/%d/%Y")
    assert report.changed and report.replaced
    assert Ledger(workspace).first_day == Ledger(workspace).last_day == date(2010, 1, 2)


def test_one_text_id_makes_all_ids_text(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "shop")
    ingest(workspace, write(tmp_path, PLAIN))
    ledger = Ledger(workspace)
    before = ledger.fingerprint(date(2010, 1, 31))
    assert ledger.customer_id_type == "integer"
    text = write(tmp_path, "customer_id,ordered_at,amount\n007,2010-02-01,1\n", "text.csv")
    ingest(workspace, text)
    assert ledger.customer_id_type == "text"
    assert pl.read_parquet(ledger.orders_path)["customer_id"].to_list() == ["007", "1", "2"]
    assert ledger.fingerprint(date(2010, 1, 31)) == before


def test_the_fingerprint_ignores_the_future_and_nothing_else(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "shop")
    header = "customer_id,ordered_at,amount,arrived_at\n"
    ingest(workspace, write(tmp_path, header + "1,2010-01-01,5,2010-01-01\n"))
    ledger = Ledger(workspace)
    prints = {day: ledger.fingerprint(date(2010, 1, day)) for day in (1, 2, 5, 31)}
    assert prints[1] == prints[31]
    assert ledger.fingerprint(date(2009, 12, 31)) != prints[1]
    late = write(tmp_path, header + "1,2010-01-02,5,2010-01-05\n", "late.csv")
    ingest(workspace, late)
    after = {day: ledger.fingerprint(date(2010, 1, day)) for day in prints}
    assert (after[1], after[2]) == (prints[1], prints[2])
    assert after[5] != prints[5]


def test_the_fingerprint_counts_copies_and_keeps_columns_apart() -> None:
    def digests(*rows: tuple[str | None, str | None]) -> list[str]:
        categories, channels = zip(*rows, strict=True)
        lines = clean_lines({"category": list(categories), "channel": list(channels)}).rows
        return daily_digests("orders", lines)["digest"].to_list()

    contents = [
        [("a", "b")],
        [("a", "b"), ("a", "b")],
        [("ab", None)],
        [(None, "ab")],
        [("a|1:b", None)],
        [("a", "1:b")],
        [("x", "y|-")],
        [("x|y", None)],
    ]
    found = [tuple(digests(*rows)) for rows in contents]  # type: ignore[arg-type]
    assert len(set(found)) == len(contents)
    assert digests(("a", "b"), ("c", "d")) == digests(("c", "d"), ("a", "b"))


def test_the_digest_is_the_same_in_every_version() -> None:
    lines = clean_lines({"quantity": ["3"], "category": ["é"]}).rows
    assert daily_digests("orders", lines).rows() == [
        (14610, 1, "ec471dee0df6eabded62526101e3a7a82af15bacbc180d42990f7ab4000a31ee")
    ]


def test_an_empty_workspace_says_what_to_do(tmp_path: Path) -> None:
    ledger = Ledger(Workspace(tmp_path / "shop"))
    for ask in (
        ledger.manifest,
        lambda: ledger.orders_path,
        lambda: ledger.first_day,
        lambda: ledger.fingerprint(date(2010, 1, 1)),
    ):
        with pytest.raises(WorkspaceError, match="run `lifecycle ingest"):
            ask()


@pytest.mark.parametrize(
    ("content", "message"),
    [("{", "is damaged"), ("[]", "is damaged"), ('{"format": 99}', "has format 99")],
)
def test_a_damaged_manifest_is_refused(content: str, message: str, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "shop")
    file = write(tmp_path, PLAIN)
    ingest(workspace, file)
    (workspace.data / "manifest.json").write_text(content)
    with pytest.raises(WorkspaceError, match=message):
        Ledger(workspace).manifest()
    with pytest.raises(WorkspaceError, match=message):
        ingest(workspace, file)


def test_a_lost_file_is_named_or_made_again(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "shop")
    file = write(tmp_path, PLAIN)
    ingest(workspace, file)
    ledger = Ledger(workspace)
    shutil.rmtree(ledger.orders_path.parent)
    with pytest.raises(WorkspaceError, match=r"orders.parquet is missing; ingest the orders again"):
        ledger.orders_path  # noqa: B018
    assert ingest(workspace, file).changed
    check_sums(ledger)
    next((workspace.data / "exports").iterdir()).write_bytes(b"PAR1 no more")
    # What is merged already needs no earlier export; what has to be merged anew does.
    ingest(workspace, write(tmp_path, PLAIN + "3,2010-01-01,1\n", "b.csv"))
    with pytest.raises(WorkspaceError, match=r"missing or damaged.*ingest orders.csv"):
        ingest(workspace, tmp_path / "b.csv", non_product_categories=["x"])


@pytest.mark.parametrize("survived", range(5))
def test_a_killed_ingest_leaves_the_former_ledger(
    survived: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = Workspace(tmp_path / "shop")
    ingest(workspace, write(tmp_path, PLAIN))
    ledger = Ledger(workspace)
    former = (ledger.manifest(), ledger.fingerprint(date(2011, 1, 1)))
    writes = 0

    def dying(function: Any) -> Any:
        def write_or_die(*arguments: Any) -> None:
            nonlocal writes
            if writes == survived:
                raise KeyboardInterrupt
            writes += 1
            function(*arguments)

        return write_or_die

    more = write(tmp_path, PLAIN + "3,2010-01-01,1\n", "more.csv")
    with monkeypatch.context() as patched:
        patched.setattr(
            features.ingest.edition, "write_parquet", dying(features.ingest.edition.write_parquet)
        )
        patched.setattr(
            features.ingest.edition, "write_json", dying(features.ingest.edition.write_json)
        )
        with pytest.raises(KeyboardInterrupt):
            ingest(workspace, more)
    assert (ledger.manifest(), ledger.fingerprint(date(2011, 1, 1))) == former
    check_sums(ledger)
    assert ingest(workspace, more).counts["kept"] == 1
    check_sums(ledger)
    assert len(list(workspace.data.iterdir())) == 4
    assert not list(workspace.data.rglob(".*"))


def test_the_report_is_plain_and_holds_no_path(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "shop")
    file = write(tmp_path, PLAIN + ",2010-01-01,5\n4,2010-01-05,-1\n4,13/01/2010,1\n")
    report = ingest(workspace, file)
    assert report.sentences() == [
        "5 lines read from orders.csv: 3 kept, 0 already there, 2 quarantined "
        "(1 no customer, 1 unreadable date such as '13/01/2010').",
        f"Quarantined rows are in {report.quarantine} of the workspace.",
        "Dates were read as year-month-day.",
        "Among the readable rows, returns and cancellations (negative amounts, counted on their "
        "own day): 1; times without a zone (taken for UTC): 3.",
        "The quarantined rows come to 6.00 net, the readable ones to 11.50.",
        "The readable lines run from -1.00 to 7.50; the one in the middle is 5.00.",
        "Returns in the ledger without an earlier sale of their category to that customer: 1; "
        "they count all the same, as the sale may lie before the first export.",
        "The ledger holds 3 lines in 3 orders of 3 customers, from 2010-01-01 to 2010-01-05; "
        "customer ids are integer.",
    ]
    assert (workspace.root / report.quarantine).is_file()
    assert report.to_dict()["counts"]["no_customer"] == 1
    assert str(tmp_path) not in (workspace.data / "manifest.json").read_text()
