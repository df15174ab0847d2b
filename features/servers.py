"""Servers that the settings name: their addresses without passwords, and whether they answer."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from functools import cache
from typing import Any
from urllib.parse import unquote, urlsplit

from features.errors import ServerError

_USERINFO = re.compile(r"(?<=://)([^@/\s]*?):([^@/\s]*)@")
_KEYWORD = re.compile(r"(?i)\b((?:password|passwd|pwd)=)[^&,\s]+")
SECONDS = 5
"""How long a server may take to answer at all."""


def without_password(text: str) -> str:
    """Hide the passwords of any addresses in a text.

    >>> without_password("redis://:secret@10.0.0.7:6379/0")
    'redis://:***@10.0.0.7:6379/0'
    >>> without_password("postgresql+psycopg://me:se%40cret@db/features?password=too")
    'postgresql+psycopg://me:***@db/features?password=***'
    >>> without_password("sqlite:////tmp/a.db")
    'sqlite:////tmp/a.db'
    """
    return _KEYWORD.sub(r"\1***", _USERINFO.sub(r"\1:***@", text))


def password_of(url: str) -> str | None:
    """Give the password in an address, as it was before it was quoted.

    >>> password_of("redis://:se%40cret@host/0"), password_of("redis://host/0")
    ('se@cret', None)
    """
    found = urlsplit(url).password
    return unquote(found) if found else None


def with_variable(url: str, variable: str) -> str:
    """Write an address with a variable of the environment in the place of its password.

    >>> with_variable("postgresql://me:secret@db/features", "REGISTRY_PASSWORD")
    'postgresql://me:${REGISTRY_PASSWORD}@db/features'
    """
    return _USERINFO.sub(rf"\1:${{{variable}}}@", url)


def answering(setting: str, url: str, ask: Callable[[], Any]) -> Any:  # noqa: ANN401 - what is asked for
    """Ask a server, and say which setting is wrong where it does not answer.

    Raises
    ------
    ServerError
        It cannot be reached, refuses, or its client is not installed.
    """
    try:
        return ask()
    except ModuleNotFoundError as error:
        raise ServerError(
            f"{setting} = {without_password(url)} needs the package {error.name}, which is not "
            "installed; run `pip install lifecycle[redis,postgres]`, or unset it"
        ) from None
    except outages() as error:
        raise unreachable(setting, url, error) from None


@cache
def outages() -> tuple[type[Exception], ...]:
    """What is raised where a server, a database's file or a disk cannot be used just now."""
    from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415

    found: tuple[type[Exception], ...] = (OSError, sqlite3.Error, SQLAlchemyError)
    try:
        from redis.exceptions import RedisError  # noqa: PLC0415
    except ModuleNotFoundError:
        # An extra: only who has a server needs its client.
        return found
    return (*found, RedisError)


def unreachable(setting: str, url: str, error: Exception) -> ServerError:
    """Say that a server cannot be used, without its password, and what to do."""
    reason = next(iter(without_password(str(error)).splitlines()), type(error).__name__)
    secret = password_of(url)
    if secret:
        reason = reason.replace(secret, "***")
    return ServerError(
        f"the server of {setting} = {without_password(url)} cannot be used ({reason[:200]}); "
        f"start it, or correct {setting}"
    )
