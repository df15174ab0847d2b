"""Changed customers in another system's columns: those alone, each decision once, all or none."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import shop
import yaml
from conftest import run, succeed

from features.errors import InputError
from features.scores import scores_path
from features.workspace import Workspace
from serving.exports.ledger import ExportLedger
from serving.exports.mapping import FORMER, SHIPPED, WATCHED, load_mapping
from serving.playbook import load_playbook
from training.stages import STAGES

BEFORE = "2024-05-31"
MINIMAL: dict[str, Any] = {
    "name": "crm",
    "fields": {"Id": "customer_id", "Decision": "decision_id", "Change": "change"},
}


@pytest.fixture(scope="module")
def scored(trained: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Scores of two days; of the later, one customer is taken away and one is made new."""
    workspace = shutil.copytree(trained["workspace"], tmp_path_factory.mktemp("scored") / "w")
    succeed(workspace, "score", "--as-of", BEFORE, "--reasons", "none")
    paths = [record(workspace, day) for day in (BEFORE, shop.LAST_DAY)]
    tables = [pq.read_table(path) for path in paths]
    both = set.intersection(*(set(table["customer_id"].to_pylist()) for table in tables))
    for path, table, left_out in zip(paths, tables, (min(both), max(both)), strict=True):
        pq.write_table(table.filter(pc.field("customer_id") != left_out), path)
    return workspace


@pytest.fixture
def own(scored: Path, tmp_path: Path) -> Path:
    return shutil.copytree(scored, tmp_path / "w")


def record(workspace: Path, day: str) -> Path:
    return scores_path(Workspace(workspace), "integer", date.fromisoformat(day))


def mapping_file(folder: Path, content: dict[str, Any]) -> Path:
    path = folder / "mapping.yaml"
    path.write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")
    return path


def export(workspace: Path, mapping: object, out: Path, *words: object) -> dict[str, Any]:
    command = ("export", "--changed-since", BEFORE, "--mapping", mapping, "--out", out)
    return succeed(workspace, *command, *words)


def rows_of(path: Path, encoding: str = "utf-8") -> list[dict[str, str]]:
    with path.open(encoding=encoding, newline="") as file:
        return list(csv.DictReader(file))


def test_only_the_new_and_the_changed_are_written(own: Path, tmp_path: Path):
    out = tmp_path / "crm.csv"
    said = export(own, mapping_file(tmp_path, MINIMAL), out)
    earlier, later = (pl.read_parquet(record(own, day)) for day in (BEFORE, shop.LAST_DAY))
    expected = {}
    former = {row["customer_id"]: row for row in earlier.select("customer_id", *WATCHED).to_dicts()}
    for row in later.to_dicts():
        old = former.pop(row["customer_id"], None)
        if old is None:
            expected[str(row["customer_id"])] = ("new", row["decision_id"])
        elif any(old[name] != row[name] for name in WATCHED):
            expected[str(row["customer_id"])] = ("changed", row["decision_id"])
    found = {row["Id"]: (row["Change"], row["Decision"]) for row in rows_of(out)}
    assert found == expected
    assert 10 < len(found) < later.height / 2
    assert (said["gone"], said["written"], said["before"]) == (len(former), len(found), 0)
    assert len(former) == 1


def test_a_decision_goes_out_once(own: Path, tmp_path: Path):
    mapping = mapping_file(tmp_path, MINIMAL)
    first = export(own, mapping, tmp_path / "crm.csv")
    content = (tmp_path / "crm.csv").read_bytes()
    again = export(own, mapping, tmp_path / "crm.csv")
    assert (again["written"], again["before"], again["file"]) == (0, first["written"], None)
    assert (tmp_path / "crm.csv").read_bytes() == content, "what may not be picked up yet stays"
    export(own, mapping, tmp_path / "twice.csv", "--again")
    assert (tmp_path / "twice.csv").read_bytes() == content
    other = export(own, mapping_file(tmp_path, MINIMAL | {"name": "other"}), tmp_path / "o.csv")
    assert other["written"] == first["written"], "each system has its own"


def test_a_run_that_dies_before_it_noted_anything_is_run_again_with_the_same_result(
    own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    mapping = mapping_file(tmp_path, MINIMAL)
    with monkeypatch.context() as patch:

        def die(*_: object) -> None:
            raise KeyboardInterrupt

        patch.setattr(ExportLedger, "note", die)
        assert run(
            own, "export", "--changed-since", BEFORE, "--mapping", mapping,
            "--out", tmp_path / "crm.csv",
        ).exit_code  # fmt: skip
    content = (tmp_path / "crm.csv").read_bytes()
    assert export(own, mapping, tmp_path / "crm.csv")["written"]
    assert (tmp_path / "crm.csv").read_bytes() == content


def test_chinese_headers_and_words_for_excel(own: Path, tmp_path: Path):
    out = tmp_path / "fxiaoke.csv"
    said = export(own, "fxiaoke", out)
    assert out.read_bytes().startswith(b"\xef\xbb\xbf")
    rows = rows_of(out, "utf-8-sig")
    assert len(rows) == said["written"] == said["new"] + said["changed"] + said["gone"]
    assert [row["变化"] for row in rows].count("消失") == 1
    assert {row["变化"] for row in rows} == {"新增", "变化", "消失"}
    assert {row["评分日期"] for row in rows} == {BEFORE, shop.LAST_DAY}
    for row in rows:
        assert (row["原阶段"] == "") == (row["变化"] == "新增")
    assert export(own, "fxiaoke", out)["written"] == 0, "that a customer is gone is told once too"


def test_json_lines_hold_numbers_and_constants(own: Path, tmp_path: Path):
    fields = MINIMAL["fields"] | {
        "churn__c": {"source": "churn_probability", "decimals": 2},
        "day__c": "as_of",
        "from__c": {"constant": "Lifecycle"},
        "stage__c": {"source": "lifecycle_stage", "values": {"loyal": "N"}, "otherwise": "O"},
    }
    content = MINIMAL | {"format": "jsonl", "date_format": "%d/%m/%Y", "fields": fields}
    out = tmp_path / "crm.jsonl"
    export(own, mapping_file(tmp_path, content), out)
    rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert {row["day__c"] for row in rows} == {"30/06/2024"}
    assert {row["from__c"] for row in rows} == {"Lifecycle"}
    assert {row["stage__c"] for row in rows} == {"N", "O"}
    assert all(row["churn__c"] == round(row["churn__c"], 2) for row in rows)


@pytest.mark.parametrize("name", sorted(path.stem for path in SHIPPED.glob("*.yaml")))
def test_a_shipped_mapping_has_a_word_for_whatever_can_come(name: str):
    mapping = load_mapping(Path(name))
    actions = ["none", *(action.key for action in load_playbook().actions)]
    possible = {
        "lifecycle_stage": STAGES,
        "action": actions,
        "risk_band": ("low", "mid", "high"),
        "value_band": ("low", "mid", "high"),
    }
    possible |= {former: possible[former.removeprefix("former_")] for former in FORMER}
    for field in mapping.fields.values():
        if field.values and field.source in possible:
            assert set(field.values) == set(possible[field.source]), field.source


def change(key: str, value: object) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda content: content | {key: value}


def field(value: object) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda content: content | {"fields": content["fields"] | {"Stage": value}}


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        (field("stage"), ("fields.Stage", "there is no source stage", "lifecycle_stage")),
        (field({"constant": "x", "source": "action"}), ("fields.Stage", "either")),
        (field({"source": "action", "value": {}}), ("fields.Stage.value", "no such key", "values")),
        (field({"source": "action", "decimals": 2}), ("fields.Stage", "remove them")),
        (change("fields", {"Id": "customer_id"}), ("which decision", "decision_id")),
        (change("encoding", "latin-9"), ("encoding = 'latin-9'", "utf-8")),
        (change("date_format", "YYYY"), ("date_format", "%Y-%m-%d")),
        (change("name", "My CRM"), ("name = 'My CRM'", "pattern")),
    ],
)
def test_a_mapping_error_names_the_field_and_the_remedy(
    tmp_path: Path, changed: Callable[[dict[str, Any]], dict[str, Any]], expected: tuple[str, ...]
):
    with pytest.raises(InputError) as error:
        load_mapping(mapping_file(tmp_path, changed(MINIMAL)))
    for words in (str(tmp_path), *expected):
        assert words in str(error.value)


@pytest.mark.parametrize(
    ("since", "mapping", "expected"),
    [
        ("2024-05-01", "zoho_crm", "2024-05-31); name one of them"),
        (shop.LAST_DAY, "zoho_crm", "is not before"),
        (BEFORE, "nowhere", "name a shipped one: fxiaoke, zoho_crm"),
    ],
)
def test_what_cannot_be_exported_is_one_sentence(
    own: Path, tmp_path: Path, since: str, mapping: str, expected: str
):
    out = tmp_path / "crm.csv"
    words = ("export", "--changed-since", since, "--mapping", mapping, "--out", out)
    result = run(own, *words)
    assert result.exit_code == 1
    assert expected in result.stderr
    assert not out.exists()


def test_a_word_that_is_missing_exports_nothing(own: Path, tmp_path: Path):
    fields = MINIMAL["fields"] | {"Stage": {"source": "lifecycle_stage", "values": {"new": "N"}}}
    mapping = mapping_file(tmp_path, MINIMAL | {"fields": fields})
    out = tmp_path / "crm.csv"
    result = run(own, "export", "--changed-since", BEFORE, "--mapping", mapping, "--out", out)
    assert "field Stage has no word for lifecycle_stage = " in result.stderr
    assert not out.exists()
    assert not list((own / "exports").glob("*.db"))
    assert export(own, mapping_file(tmp_path, MINIMAL), out)["written"]
