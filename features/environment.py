"""Settings in variables of the environment, and in files that variables name.

>>> read_environment({"LIFECYCLE_CHURN__HORIZON_DAYS": "60", "HOME": "/root"})
{'churn': {'horizon_days': 60}}
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from features.errors import InputError

ENVIRONMENT_PREFIX = "LIFECYCLE_"
_IN_A_FILE = "_FILE"
"""Ends a variable that names a file with the value, as secrets of containers are given."""
# These say where to look, and how many look, before any settings are read.
_LOCATORS = {"LIFECYCLE_WORKSPACE", "LIFECYCLE_SETTINGS", "LIFECYCLE_WORKERS"}


def read_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    """Read the settings that variables give: sections, keys, values.

    Raises
    ------
    InputError
        A variable names no setting, or its value or its file cannot be read. The message has no
        value in it, which may be a secret.
    """
    layer: dict[str, Any] = {}
    for name, text in environment.items():
        if not name.startswith(ENVIRONMENT_PREFIX) or name in _LOCATORS:
            continue
        if "__" not in name:
            raise InputError(
                f"variable {name} names no setting; write section and key, as in "
                "LIFECYCLE_CHURN__HORIZON_DAYS"
            )
        setting = name.removesuffix(_IN_A_FILE)
        if setting != name:
            if setting in environment:
                raise InputError(f"variables {setting} and {name} are both set; keep one of them")
            text = _read_secret(name, text)  # noqa: PLW2901
        keys = setting.removeprefix(ENVIRONMENT_PREFIX).lower().split("__")
        section = layer
        for key in keys[:-1]:
            section = section.setdefault(key, {})
        try:
            section[keys[-1]] = yaml.safe_load(text) if text else None
        except yaml.YAMLError:
            # The value may be a secret.
            raise InputError(f"variable {name} cannot be read as a YAML value") from None
    return layer


def _read_secret(name: str, path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise InputError(f"variable {name} names {path}, which cannot be read: {reason}") from None
