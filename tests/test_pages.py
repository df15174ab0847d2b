"""Everybody can read every page: in a real browser, on a phone and a desk, by day and by night."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import shop
from browser import Browser
from browser import browser as browser  # noqa: PLC0414 - a fixture
from conftest import succeed

from serving.sentences import LANGUAGES


def test_the_data_report(browser: Browser, export: Path, tmp_path: Path):
    others = shop.write_others(tmp_path)
    files = [word for table, path in others.items() for word in (f"--{table}", path)]
    succeed(tmp_path / "w", "ingest", "--orders", export, *shop.map_options(), *files)
    browser.review(Path(succeed(tmp_path / "w", "data")["file"]), "data")


def test_the_plan(browser: Browser, trained: dict[str, Any], tmp_path: Path):
    workspace = shutil.copytree(trained["workspace"], tmp_path / "w")
    (workspace / "lifecycle.yaml").write_text("serving: {consent_unknown: plan}\n")
    said = succeed(workspace, "recommend", "--budget", 50, "--campaign", "spring")
    browser.review(Path(said["page"]), "plan")


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_handbook(browser: Browser, language: str, trained: dict[str, Any], tmp_path: Path):
    page = tmp_path / "handbook.html"
    succeed(trained["workspace"], "handbook", "--lang", language, "--out", page)
    browser.review(page, f"handbook-{language}")
