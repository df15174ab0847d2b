"""Every command of the documentation works, as a reader finds it.

The long part runs them all, page after page, each in a checkout of its own: what is in the folder
before the first command is said in BEFORE. What is not run is named in NOT_RUN, with the reason.
"""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import shop
from click.testing import CliRunner
from doc_commands import (
    OUTPUT,
    PYTHON,
    ROOT,
    SHELL,
    Block,
    Reader,
    blocks,
    checkout,
    fences,
    unlike,
)
from servers import database as database  # noqa: PLC0414 - a fixture
from test_docs import PAGES, by_name, check_command

from pipelines.cli import main
from serving.endpoint.openapi import EXAMPLES

NOT_RUN = {
    "make test": "it is what runs this",
    "make check-full": "it is what runs this",
    "make check": "CI runs it before the tests",
    "scripts/install dagster": "CI runs it before the tests",
    "make lock": "it asks the registry of packages for newer ones",
    "from pyspark.sql import": "PySpark is an extra; tests/test_spark.py asks it the same",
}
YOUR_DATA = ROOT / "docs" / "your-data.md"
LIKE_YOURS = "what docs/your-data.md leaves"
BEFORE = {
    "docs/monitoring.md": LIKE_YOURS,
    "docs/operating.md": LIKE_YOURS,
    "docs/privacy.md": LIKE_YOURS,
    "docs/actions.md": LIKE_YOURS,
    "docs/judging.md": LIKE_YOURS,
    "docs/mlflow.md": LIKE_YOURS,
    "docs/report.md": LIKE_YOURS,
    "docs/running.md": LIKE_YOURS,
    "docs/serving.md": LIKE_YOURS,
}
"""What is in the folder but for the checkout and orders.csv, of pages that go on from another."""
FIRST = {
    "docs/operating.md": ("mkdir backups",),
    "docs/privacy.md": ("echo 112 | cat <(echo customer_id) - > ids.csv",),
    # There must be a former champion to go back to.
    "docs/judging.md": (
        ".venv/bin/lifecycle train --as-of 2024-05-31",
        ".venv/bin/lifecycle promote --force",
    ),
}
POSTGRES = "postgresql://crm@10.0.0.5/crm"
STAND_INS = {
    # Yours end in June 2024, and have no customer of that name.
    "docs/monitoring.md": {"2025-08-03": "2024-06-28"},
    "docs/privacy.md": {"17850": "111"},
    # The backup that was just made.
    "docs/operating.md": {"/backups/": "backups/", "2024-06-30.tar.zst": "$(date +%F).tar.zst"},
}
"""What is typed in place of what only another company has."""
WORDS = {
    ".venv/bin/lifecycle",
    ".venv/bin/dagster",
    "scripts/install",
    "make",
    "curl",
    "echo",
    "export",
    "mlflow/serve",
}
CHEAP = ("playbook", "handbook", "data")
"""Verbs that are quick enough to be run at every change."""

ALL = [block for page in PAGES for block in blocks(page)]
WITH_COMMANDS = sorted({block.page for block in ALL})


def place(block: Block) -> str:
    return block.place


@pytest.mark.parametrize("page", PAGES, ids=by_name)
def test_every_command_is_found(page: Path):
    found = {fence.language for fence in fences(page)}
    assert found <= {SHELL, PYTHON, *OUTPUT, "yaml", "mermaid", "text"}, "commands stand in ```sh"
    for fence in fences(page):
        if fence.language == "":
            assert not re.search(r"^(\$ |lifecycle |\.venv/|curl )", fence.text, re.MULTILINE)


@pytest.mark.parametrize("block", [b for b in ALL if b.language == SHELL], ids=place)
def test_commands_can_be_typed_in_a_checkout(block: Block):
    for command in block.commands:
        words = shlex.split(command, comments=True)
        assert words[0] in WORDS, f"{block.place}: {words[0]} is not in a checkout"
        if words[0] == "make":
            assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=by_name)
def test_commands_in_a_sentence_are_ones_that_the_command_line_takes(page: Path):
    for said in re.findall(r"`(?:\.venv/bin/)?lifecycle\s([^`A-Z][^`]*)`", page.read_text("utf-8")):
        check_command(shlex.split(said))


def test_what_is_not_run_is_still_there():
    said = "\n".join(command for block in ALL for command in block.commands)
    assert [command for command in NOT_RUN if command not in said] == []
    assert [page for page in [*BEFORE, *FIRST] if ROOT / page not in WITH_COMMANDS] == []
    for page, texts in STAND_INS.items():
        commands = "".join(c for block in blocks(ROOT / page) for c in block.commands)
        assert [text for text in texts if text not in commands] == []


def test_the_answer_in_the_readme_is_of_the_endpoints_shape():
    readme = blocks(ROOT / "README.md")
    (block,) = (b for b in readme if b.shown is not None and b.shown.language == "json")
    assert block.shown is not None
    answer = json.loads(EXAMPLES.read_text("utf-8"))["/v1/customers/score"]["answer"]
    assert list(unlike(json.loads(block.shown.text), answer, "answer")) == []


def test_quick_commands_do_what_they_say(
    trained: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    workspace = shutil.copytree(trained["workspace"], tmp_path / "workspace")
    done = set()
    for block in ALL:
        folder = tmp_path / block.page.stem
        if not folder.exists():
            folder.mkdir()
            (folder / "workspace").symlink_to(workspace)
        monkeypatch.chdir(folder)
        for command in block.commands:
            words = shlex.split(command, comments=True)
            is_cheap = words[0] == ".venv/bin/lifecycle" and words[1] in CHEAP
            if is_cheap and "$(" not in command:  # Of these the shell makes something else first.
                result = CliRunner().invoke(main, words[1:])
                assert result.exit_code == 0, f"{block.place}: {command}\n{result.output}"
                done.add(words[1])
    assert done == set(CHEAP)


@pytest.fixture(scope="module")
def like_yours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkout of somebody who has been through the page on their own data."""
    folder = checkout(tmp_path_factory.mktemp("yours") / "lifecycle")
    with_orders(folder, YOUR_DATA)
    read_through(Reader(folder), YOUR_DATA)
    return folder


def with_orders(folder: Path, page: Path) -> None:
    """Put orders.csv there, named as the page maps its columns."""
    mapped = dict(re.findall(r"--map (\w+)=([^\s`]+)", page.read_text("utf-8")))
    if "ordered_at" not in mapped:
        return
    orders = shop.orders().select(
        pl.col("client").alias(mapped["customer_id"]),
        pl.col("when").dt.strftime("%Y-%m-%d %H:%M:%S").alias(mapped["ordered_at"]),
        (pl.col("units") * pl.col("price")).round(2).alias(mapped["amount"]),
    )
    orders.write_csv(folder / "orders.csv")


def read_through(reader: Reader, page: Path) -> None:
    """Type a page's commands from its first to its last."""
    has_spark = importlib.util.find_spec("pyspark") is not None
    left_out = tuple(c for c in NOT_RUN if not (has_spark and "pyspark" in c))
    mine = blocks(page)
    try:
        for command in FIRST.get(by_name(page), ()):
            reader.type(command, mine[0])
        for block in mine:
            reader.read(block, left_out)
    finally:
        reader.leave()
        for seconds, command in reader.took:
            print(f"{seconds:6.1f} s  {command.splitlines()[0]}")  # noqa: T201 - shown by -rP


@pytest.mark.full
@pytest.mark.parametrize("page", WITH_COMMANDS, ids=by_name)
def test_the_commands_of_a_page_work(page: Path, tmp_path: Path, request: pytest.FixtureRequest):
    if page == YOUR_DATA:
        request.getfixturevalue("like_yours")
        return
    stand_ins = dict(STAND_INS.get(by_name(page), {}))
    if POSTGRES in page.read_text("utf-8"):
        stand_ins[POSTGRES] = request.getfixturevalue("database")
    if by_name(page) in BEFORE:
        yours = request.getfixturevalue("like_yours")
        folder = Path(shutil.copytree(yours, tmp_path / "lifecycle", symlinks=True))
    else:
        folder = checkout(tmp_path / "lifecycle")
        with_orders(folder, page)
    read_through(Reader(folder, stand_ins), page)
