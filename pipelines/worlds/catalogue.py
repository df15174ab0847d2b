"""The committed worlds, and worlds of one's own in a file.

>>> sorted(world_names())[:3]
['broken_export', 'channel_lost', 'churn_up']
>>> load_world("null").effects.actions["cross_sell"].buying
{}
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from features.errors import InputError
from pipelines.worlds.parameters import World

SHIPPED = Path(__file__).with_name("worlds.yaml")
PARENT = "from"
RUN = "run"
"""What a written world says of the run that it is of; it is no parameter."""
# These are replaced whole: what a world's own has is all that there is.
_WHOLE = {"actions", "audiences", "together", "plans"}


def world_names() -> tuple[str, ...]:
    """Name the worlds that come along, in the file's order."""
    return tuple(_shipped())


def world_titles() -> dict[str, str]:
    """Say of each world what it is."""
    return {name: str(entry["title"]) for name, entry in _shipped().items()}


def load_world(name: str) -> World:
    """Read a world by its name, or from a YAML file.

    A file states the parameters themselves, or `from` which world it starts and what it changes;
    a `world.yaml` that a simulation wrote is one.

    Raises
    ------
    InputError
        There is no such world, or a parameter cannot be what it is.

    Examples
    --------
    >>> load_world("utopia")
    Traceback (most recent call last):
    ...
    features.errors.InputError: there is no world 'utopia'; name one of shop, null, ... or a YAML
    file of one
    """
    if name in _shipped():
        return _checked(name, _resolved(_shipped()[name]))
    path = Path(name)
    if path.suffix in {".yaml", ".yml"}:
        return _checked(name, _resolved(_read(path)))
    raise InputError(
        f"there is no world {name!r}; name one of {', '.join(_shipped())} or a YAML file of one"
    )


@cache
def _shipped() -> dict[str, dict[str, Any]]:
    entries: dict[str, dict[str, Any]] = yaml.safe_load(SHIPPED.read_text(encoding="utf-8"))
    return entries


def _read(path: Path) -> dict[str, Any]:
    try:
        entry = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; name a world or its file") from None
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"{path} is no YAML ({error}); correct it") from None
    if not isinstance(entry, dict):
        raise InputError(f"{path} holds no parameters; write them as `name: value`")
    return {name: value for name, value in entry.items() if name != RUN}


def _resolved(entry: dict[str, Any]) -> dict[str, Any]:
    parent = entry.get(PARENT)
    if parent is None:
        return entry
    if parent not in _shipped():
        raise InputError(
            f"a world is `from` {parent!r}, which is none of {', '.join(_shipped())}; correct it"
        )
    own = {name: value for name, value in entry.items() if name != PARENT}
    return _changed(_resolved(_shipped()[parent]), own)


def _changed(base: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    made = dict(base)
    for name, value in own.items():
        both = isinstance(value, dict) and isinstance(made.get(name), dict)
        made[name] = _changed(made[name], value) if both and name not in _WHOLE else value
    return made


def _checked(name: str, parameters: dict[str, Any]) -> World:
    try:
        return World.model_validate(parameters)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        said = first["msg"].removeprefix("Value error, ")
        where = f" at {place} = {first['input']!r}" if place else ""
        raise InputError(f"world {name}{where}: {said}") from None
