"""What the pages say: links lead somewhere, commands and settings are there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest
from pydantic import BaseModel

from features.settings import Settings
from pipelines.cli import main

ROOT = Path(__file__).parent.parent
PAGES = [
    ROOT / "README.md",
    ROOT / "README.zh-CN.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "notebooks" / "README.md",
]
_LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)")
_BLOCK = re.compile(r"```sh\n(.*?)```", re.DOTALL)
_NAMED = re.compile(r"`([a-z]+)\.([a-z_]+)")


def by_name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=by_name)
def test_links_lead_to_files_that_are_there(page: Path):
    found = [to for to in _LINK.findall(page.read_text("utf-8")) if "://" not in to]
    assert [to for to in found if not (page.parent / to).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=by_name)
def test_commands_are_ones_that_the_command_line_takes(page: Path):
    for block in _BLOCK.findall(page.read_text("utf-8")):
        for line in block.replace("\\\n", " ").splitlines():
            for said in re.findall(r"\.venv/bin/lifecycle ([^|#]*)", line):
                check_command(shlex.split(said))


def check_command(words: list[str]) -> None:
    known: dict[str, click.Option] = {}
    command: click.Command = main
    place = 0
    while True:
        known |= {o: p for p in command.params if isinstance(p, click.Option) for o in p.opts}
        while place < len(words) and words[place].startswith("-"):
            option = words[place].partition("=")[0]
            assert option in known, f"{' '.join(words)}: there is no {option}"
            place += 1 if known[option].is_flag or "=" in words[place] else 2
        if place >= len(words):
            return
        if isinstance(command, click.Group):
            assert words[place] in command.commands, f"there is no verb {words[place]}"
            command = command.commands[words[place]]
        place += 1


@pytest.mark.parametrize("page", PAGES, ids=by_name)
def test_settings_that_are_named_are_there(page: Path):
    groups = {
        name: field.annotation
        for name, field in Settings.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
    }
    unknown = [
        f"{group}.{name}"
        for group, name in _NAMED.findall(page.read_text("utf-8"))
        if group in groups
        and name not in groups[group].model_fields
        and name not in {"yaml", "md", "parquet", "py", "html", "json", "csv"}
    ]
    assert unknown == []
