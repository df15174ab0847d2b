"""Snapshots as files: the same bytes again, only what must be computed, whole or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import features.history_files
import features.snapshot_files
import features.snapshots
from features.computing import Part, compute_snapshot, open_tables
from features.days import day_number
from features.definitions.history import OrderHistory
from features.definitions.orders import LINE_COLUMNS
from features.definitions.rows import Rules
from features.engines import EngineName, engine
from features.ingest.contract import Table
from features.ingest.ledger import Ledger
from features.settings import Settings
from features.snapshots import ensure_snapshots, snapshot_key, snapshot_path, tables_of
from features.workspace import Workspace
from pipelines.context import Context
from pipelines.ingest import ingest_table

ENGINES: tuple[EngineName, ...] = ("polars", "duckdb")
MARCH, APRIL, MAY = date(2024, 3, 1), date(2024, 4, 1), date(2024, 5, 1)
RULES = Rules(seasons={"fair": "06-08"})


def moments(days: Iterable[int]) -> list[date]:
    return [date(2024, 1, 1) + timedelta(days=n) for n in days]


def orders(days: Iterable[int], late_by: int = 0) -> pl.DataFrame:
    """One order a day, of five customers in turn, as an export."""
    when = moments(days)
    return pl.DataFrame(
        {
            "customer_id": [n % 5 for n in range(len(when))],
            "ordered_at": when,
            "amount": [10.5 + n for n in range(len(when))],
            "category": ["tea" if n % 2 else "cup" for n in range(len(when))],
            "arrived_at": [day + timedelta(days=late_by) for day in when],
        }
    )


def visits(days: Iterable[int]) -> pl.DataFrame:
    return pl.DataFrame({"customer_id": 3, "at": moments(days), "kind": "visit", "value": 30})


def add(context: Context, frame: pl.DataFrame, name: str, table: Table = "orders") -> Ledger:
    ingest_table(context, Path(name), frame, digest=name * 8, mapping={}, table=table)
    return context.ledger()


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    context = Context(Workspace(tmp_path_factory.mktemp("fresh") / "w"), Settings())
    add(context, orders(range(0, 130, 3)), "first")
    add(context, visits(range(0, 130, 7)), "visits", "interactions")
    return context.workspace.root


@pytest.fixture
def context(fresh: Path, tmp_path: Path) -> Context:
    return Context(Workspace(shutil.copytree(fresh, tmp_path / "w")), Settings())


def ensure(
    context: Context, days: list[date], name: EngineName = "polars", rules: Rules = RULES
) -> list[date]:
    return ensure_snapshots(context.workspace, context.ledger(), days, name, rules)


def path_of(context: Context, day: date) -> Path:
    return snapshot_path(context.workspace, context.ledger(), day)


def assert_right(context: Context, days: Iterable[date]) -> None:
    """The stored snapshots are those that are computed anew."""
    with engine("polars") as opened:
        for day in days:
            anew = compute_snapshot(opened, tables_of(context.ledger()), day, RULES)
            assert pq.read_table(path_of(context, day)).equals(anew)


def content(context: Context) -> dict[str, bytes]:
    """Every file under the features' folder."""
    root = context.workspace.features
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


# The same bytes.


@pytest.mark.parametrize("name", ENGINES)
def test_snapshots_built_again_are_the_same_files_to_the_byte(context: Context, name: EngineName):
    assert ensure(context, [MARCH, APRIL], name) == [MARCH, APRIL]
    first = [path_of(context, day).read_bytes() for day in (MARCH, APRIL)]
    shutil.rmtree(context.workspace.features)
    assert ensure(context, [MARCH, APRIL], name) == [MARCH, APRIL]
    assert [path_of(context, day).read_bytes() for day in (MARCH, APRIL)] == first


def test_a_snapshot_gone_on_to_is_the_same_file_as_one_built_at_once(context: Context):
    ensure(context, [MARCH])
    ensure(context, [APRIL])
    gone_on = path_of(context, APRIL).read_bytes()
    shutil.rmtree(context.workspace.features)
    ensure(context, [APRIL])
    assert path_of(context, APRIL).read_bytes() == gone_on


def test_the_rows_do_not_depend_on_the_parts(context: Context, monkeypatch: pytest.MonkeyPatch):
    parts_of = features.snapshots.parts_of
    monkeypatch.setattr(features.snapshots, "parts_of", lambda path: parts_of(path, 10))
    ensure(context, [MARCH])
    ensure(context, [APRIL])
    assert_right(context, [MARCH, APRIL])


# Keys.


def test_a_snapshot_is_computed_once(context: Context):
    assert ensure(context, [APRIL, MARCH, APRIL]) == [MARCH, APRIL]
    assert ensure(context, [MARCH, APRIL]) == []


@pytest.mark.parametrize(
    ("days", "late_by", "again"),
    [
        pytest.param([99, 120], 0, [], id="newer orders"),
        pytest.param([10], 200, [], id="an old order that arrives after every snapshot"),
        pytest.param([70], 0, [APRIL], id="a correction between the days"),
        pytest.param([10], 0, [MARCH, APRIL], id="a correction before both days"),
        pytest.param([10], 70, [APRIL], id="an old order that arrived between the days"),
    ],
)
def test_only_a_day_that_could_have_seen_a_new_fact_is_computed_again(
    context: Context, days: list[int], late_by: int, again: list[date]
):
    ensure(context, [MARCH, APRIL])
    add(context, orders(days, late_by), "second")
    assert ensure(context, [MARCH, APRIL]) == again
    assert_right(context, [MARCH, APRIL])


@pytest.mark.parametrize(("days", "again"), [([131], []), ([71], [APRIL])])
def test_facts_of_other_tables_count_too(context: Context, days: list[int], again: list[date]):
    ensure(context, [MARCH, APRIL])
    add(context, visits(days), "more", "interactions")
    assert ensure(context, [MARCH, APRIL]) == again
    assert_right(context, [MARCH, APRIL])


def test_another_engine_other_rules_and_another_definition_are_other_snapshots(
    context: Context, monkeypatch: pytest.MonkeyPatch
):
    ensure(context, [MARCH])
    assert ensure(context, [MARCH], "duckdb") == [MARCH]
    assert ensure(context, [MARCH], "duckdb") == []
    for rules in (
        Rules(seasons={"fair": "06-09"}),
        Rules(seasons=RULES.seasons, static=("region",)),
        Rules(seasons=RULES.seasons, sensitive=("region",)),
    ):
        assert ensure(context, [MARCH], rules=rules) == [MARCH]
        assert ensure(context, [MARCH], rules=rules) == []
    ensure(context, [MARCH])
    monkeypatch.setattr(features.snapshots, "definition_digest", lambda: "another")
    assert ensure(context, [MARCH]) == [MARCH]


@pytest.mark.parametrize("damage", [b"", b"PAR1" * 9, None])
def test_a_snapshot_that_cannot_be_read_is_computed_anew(context: Context, damage: bytes | None):
    path = path_of(context, APRIL)
    path.parent.mkdir(parents=True)
    if damage is None:
        pq.write_table(pa.table({"somebody": ["else's"]}), path)
    else:
        path.write_bytes(damage)
    assert ensure(context, [APRIL]) == [APRIL]
    key = snapshot_key(context.ledger(), APRIL, "polars", RULES)
    assert features.snapshot_files.stored_key(path) == key
    assert_right(context, [APRIL])


# A writer that dies.


class Killed(Exception):
    pass


def dying_at(step: int, function: Callable[..., Any]) -> Callable[..., Any]:
    """Do as a function does until it is called for the n-th time."""
    calls = iter(range(step))

    def wrapped(*args: Any, **options: Any) -> Any:
        if next(calls, None) is None:
            raise Killed
        return function(*args, **options)

    return wrapped


@pytest.mark.parametrize(
    ("owner", "name", "step"),
    [
        (OrderHistory, "facts", 1),
        (features.snapshot_files.SnapshotWriter, "write", 1),
        (features.snapshot_files.SnapshotWriter, "close", 1),
        (features.history_files.HistoryWriter, "write", 0),
        (pq.ParquetWriter, "write_table", 3),
        (features.history_files, "write_json", 0),
    ],
)
def test_a_writer_that_dies_leaves_whole_files_and_nothing_else(
    owner: Any, name: str, step: int, context: Context, monkeypatch: pytest.MonkeyPatch
):
    ensure(context, [MARCH])
    add(context, orders([10]), "second")
    before = content(context)
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, dying_at(step, getattr(owner, name)))
        with pytest.raises(Killed):
            ensure(context, [MARCH, APRIL])
    after = content(context)
    assert before.keys() <= after.keys()
    assert not [name for name in after if "/." in name or name.startswith(".")]
    for day in (MARCH, APRIL):
        if path_of(context, day).exists():
            pq.read_table(path_of(context, day))
    ensure(context, [MARCH, APRIL])
    assert_right(context, [MARCH, APRIL])


# What orders added up to.


def histories(context: Context) -> Path:
    (folder,) = context.workspace.features.glob("history_*")
    return folder


def used(context: Context, days: list[date], monkeypatch: pytest.MonkeyPatch) -> int:
    """Compute some days, and count how often a history was begun from nothing."""
    begun = []
    start = OrderHistory.start

    def counted(*args: Any) -> OrderHistory:
        begun.append(args)
        return start(*args)

    with monkeypatch.context() as patch:
        patch.setattr(OrderHistory, "start", counted)
        ensure(context, days)
    return len(begun)


def test_a_later_day_goes_on_from_the_newest_history(
    context: Context, monkeypatch: pytest.MonkeyPatch
):
    assert used(context, [MARCH], monkeypatch) == 1
    assert used(context, [APRIL], monkeypatch) == 0
    assert used(context, [MAY], monkeypatch) == 0
    assert [path.name for path in sorted(histories(context).iterdir())] == [f"{APRIL}", f"{MAY}"]
    assert_right(context, [APRIL, MAY])


def test_going_on_reads_only_what_became_known_and_the_lines_of_who_was_late(context: Context):
    add(context, orders([20, 80], late_by=20), "late")
    paths = {"orders": context.ledger().orders_path}
    everything = pl.read_parquet(paths["orders"])
    march, may = day_number(MARCH), day_number(MAY)
    # Of customer 1 a line of the 80th day became known after April's snapshot had seen that day.
    fresh = pl.col("known_day").is_between(march, may, closed="right")
    with engine("polars") as opened:
        read = opened.collect(open_tables(opened, paths, Part(), [MARCH, APRIL, MAY])["orders"])
    expected = everything.filter(fresh | (pl.col("customer_id") == 1))
    assert 0 < expected.height < everything.height
    assert pl.DataFrame(read).equals(expected.select(LINE_COLUMNS))


def test_a_correction_of_the_past_makes_its_histories_void(
    context: Context, monkeypatch: pytest.MonkeyPatch
):
    ensure(context, [MARCH, APRIL])
    add(context, orders([10]), "second")
    assert used(context, [MAY], monkeypatch) == 1
    assert_right(context, [MAY])


def no_key(folder: Path) -> None:
    (folder / "key.json").unlink()


def broken_key(folder: Path) -> None:
    (folder / "key.json").write_bytes(b"\xff{")


def another_key(folder: Path) -> None:
    (folder / "key.json").write_text('"another"')


def lost_table(folder: Path) -> None:
    (folder / "days.parquet").unlink()


def flipped_byte(folder: Path) -> None:
    path = folder / "totals.parquet"
    content = bytearray(path.read_bytes())
    content[len(content) // 4] ^= 0x55
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [no_key, broken_key, another_key, lost_table, flipped_byte])
def test_a_damaged_history_is_not_used(
    damage: Callable[[Path], None], context: Context, monkeypatch: pytest.MonkeyPatch
):
    ensure(context, [MARCH])
    damage(histories(context) / f"{MARCH}")
    assert used(context, [APRIL], monkeypatch) == 1
    assert_right(context, [APRIL])


def test_what_else_lies_with_the_histories_is_left_alone(
    context: Context, monkeypatch: pytest.MonkeyPatch
):
    ensure(context, [MARCH])
    (histories(context) / "notes.txt").write_text("mine")
    (histories(context) / "old").mkdir()
    (histories(context) / "20990101").mkdir()
    (histories(context) / "2099-01-01").mkdir()
    (histories(context) / ".hidden").mkdir()
    assert used(context, [APRIL], monkeypatch) == 0
    assert {"notes.txt", "old", ".hidden"} < {path.name for path in histories(context).iterdir()}
