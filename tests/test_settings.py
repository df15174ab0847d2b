"""Settings: what goes before what, and a bad value named with its key and place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from conftest import run, succeed

from features.errors import InputError
from features.settings import Settings


@pytest.mark.parametrize(
    ("file", "environment", "overrides", "expected"),
    [
        (None, {}, {}, None),
        ("churn: {horizon_days: 30}", {}, {}, 30),
        ("churn: {horizon_days: 30}", {"LIFECYCLE_CHURN__HORIZON_DAYS": "40"}, {}, 40),
        (
            "churn: {horizon_days: 30}",
            {"LIFECYCLE_CHURN__HORIZON_DAYS": "40"},
            {"churn": {"horizon_days": 50}},
            50,
        ),
    ],
)
def test_command_line_goes_before_environment_before_file_before_default(
    file: str | None,
    environment: dict[str, str],
    overrides: dict[str, Any],
    expected: int,
    tmp_path: Path,
):
    path = None
    if file is not None:
        path = tmp_path / "lifecycle.yaml"
        path.write_text(file)
    assert Settings.load(path, environment, overrides).churn.horizon_days == expected


@pytest.mark.parametrize(
    ("file", "environment", "expected"),
    [
        ("value: {margn: 0.4}", {}, r"unknown setting value\.margn in .*lifecycle\.yaml"),
        ("{}", {"LIFECYCLE_VALUE__MARGN": "1"}, r"unknown setting value\.margn in the environment"),
        ("value: {margin: lots}", {}, r"setting value\.margin = 'lots': .*number"),
        ("value: {margin: 7}", {}, r"setting value\.margin = 7: .*less than or equal to 1"),
        ("{}", {"LIFECYCLE_CHURN": "5"}, "LIFECYCLE_CHURN names no setting"),
        ("{}", {"LIFECYCLE_DATA__NAME": "[x"}, "LIFECYCLE_DATA__NAME cannot be read"),
        ("- 1", {}, "must hold keys and values"),
        ("value: {margin: [", {}, "cannot be read as YAML"),
        ("serving: {api_keys: {crm: {sha256: secret}}}", {}, "no SHA-256 in 64 hex digits"),
    ],
)
def test_a_bad_value_names_key_value_and_place(
    file: str, environment: dict[str, str], expected: str, tmp_path: Path
):
    path = tmp_path / "lifecycle.yaml"
    path.write_text(file)
    with pytest.raises(InputError, match=expected):
        Settings.load(path, environment)


def test_the_workspace_brings_its_own_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    workspace = tmp_path / "w"
    workspace.mkdir()
    (workspace / "lifecycle.yaml").write_text("data: {currency: GBP}")
    monkeypatch.setenv("LIFECYCLE_VALUE__MARGIN", "0.5")
    shown = succeed(workspace, "settings")
    assert shown["data"]["currency"] == "GBP"
    assert shown["value"]["margin"] == 0.5


def test_settings_that_are_named_and_not_there_are_an_error(tmp_path: Path):
    result = run(tmp_path, "settings", "--settings", tmp_path / "no.yaml")
    assert result.exit_code == 1
    assert "no.yaml does not exist" in result.stderr


def test_a_value_may_stand_in_a_file_that_a_variable_names(tmp_path: Path):
    secret = tmp_path / "redis_url"
    secret.write_text("redis://:s3cret@redis:6379/0\n")
    named = {"LIFECYCLE_STORES__REDIS_URL_FILE": str(secret), "LIFECYCLE_STORES__ONLINE": "redis"}
    assert Settings.load(None, named).stores.redis_url == "redis://:s3cret@redis:6379/0"
    both = {**named, "LIFECYCLE_STORES__REDIS_URL": "redis://other"}
    with pytest.raises(InputError, match="are both set; keep one of them"):
        Settings.load(None, both)
    secret.unlink()
    with pytest.raises(InputError, match=r"names .*redis_url, which cannot be read: No such file"):
        Settings.load(None, named)


@pytest.mark.parametrize(
    "name", ["STORES__REDIS_URL", "STORES__PUSH_LOG", "TRAINING__STORAGE", "STORES__REGISTRY"]
)
@pytest.mark.parametrize("value", ["s3cret", "{s3cret: [", "mysql://me:s3cret@db/x"])
def test_an_error_about_a_secret_does_not_tell_it(name: str, value: str, tmp_path: Path):
    (tmp_path / "f").write_text(value)
    for given in (
        {f"LIFECYCLE_{name}": value},
        {f"LIFECYCLE_{name}_FILE": str(tmp_path / "f")},
    ):
        with pytest.raises(InputError) as raised:
            Settings.load(None, given)
        assert "s3cret" not in str(raised.value)
