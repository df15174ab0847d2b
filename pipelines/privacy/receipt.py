"""The receipt of an erasure, and the note of one that is not finished.

A receipt names nobody: persons are in it by the hash that keeps them out from then on. The note
names them, for whoever has to go on after a death; only its owner reads it, and it goes with the
last step.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from features.errors import InputError, WorkspaceError
from features.workspace import Workspace, read_json, replacing, write_json

FORMAT = 1
_BEGUN = ".unfinished.json."


@dataclass(frozen=True)
class Learned:
    """A registered version of the scorer that had learned from some of the persons.

    Attributes
    ----------
    days, of
        On how many of the days that it learned from one of them was known, and of how many.
    sure
        Whether one of them stood among the customers that it was judged on; else it is known from
        the days alone.
    """

    version: int
    alias: str | None
    trained_as_of: str
    days: int
    of: int
    sure: bool


@dataclass(frozen=True)
class Beyond:
    """A place that was not reached, and what to do there."""

    place: str
    remedy: str


@dataclass
class Receipt:
    """What became of a request to forget.

    Attributes
    ----------
    hashes
        Of the persons' ids, keyed with the secret of the workspace.
    unknown
        Of the ids that were asked for, how many were known nowhere.
    places
        Place to the rows, events or files that are gone or changed there.
    since
        The day from which facts of them count again; None: none do.
    finished
        None while there is something left to do.
    """

    request: str
    began: str
    by: str
    why: str
    hashes: list[str]
    unknown: int = 0
    places: dict[str, int] = field(default_factory=dict)
    models: list[Learned] = field(default_factory=list)
    beyond: list[Beyond] = field(default_factory=list)
    since: str | None = None
    finished: str | None = None

    def add(self, place: str, changed: int) -> None:
        """Count what was changed at a place, by this run or one before it."""
        self.places[place] = self.places.get(place, 0) + changed

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"format": FORMAT, **asdict(self)}

    @classmethod
    def from_dict(cls, told: dict[str, Any]) -> Receipt:
        """Read plain values back."""
        told = {name: value for name, value in told.items() if name != "format"}
        return cls(
            **{
                **told,
                "models": [Learned(**one) for one in told["models"]],
                "beyond": [Beyond(**one) for one in told["beyond"]],
            }
        )

    def sentences(self) -> Iterator[str]:
        """Tell it in plain English."""
        count = len(self.hashes)
        yield (
            f"request {self.request}: {count} person{'s' * (count != 1)} erased, by {self.by} "
            f"({self.why})"
        )
        if self.unknown:
            yield f"known nowhere, and left alone: {self.unknown} of the ids that were given"
        for place, changed in self.places.items():
            if changed:
                yield f"  {place}: {changed:,}"
        for one in self.models:
            alias = f" ({one.alias})" if one.alias else ""
            how = "is among its judged customers" if one.sure else "known by its training days"
            yield (
                f"  model version {one.version}{alias}, trained as of {one.trained_as_of}, had "
                f"learned from {one.days} of {one.of} days that have them ({how}); it is marked, "
                "and the next training does without"
            )
        for other in self.beyond:
            yield f"NOT REACHED  {other.place}: {other.remedy}"


class Receipts:
    """The receipts of one workspace."""

    def __init__(self, workspace: Workspace) -> None:
        self._folder = workspace.privacy / "receipts"

    def write(self, receipt: Receipt) -> Path:
        """Keep a receipt."""
        path = self._folder / f"{receipt.request}.json"
        write_json(path, receipt.to_dict())
        return path

    def all(self) -> list[Receipt]:
        """List them, the oldest first."""
        found = [Receipt.from_dict(read_json(path)) for path in sorted(self._folder.glob("*.json"))]
        return sorted(found, key=lambda one: one.began)

    def require(self, request: str) -> Receipt:
        """Find one.

        Raises
        ------
        InputError
            There is none; the message names the newest.
        """
        for one in self.all():
            if one.request == request:
                return one
        known = ", ".join(one.request for one in self.all()[-5:]) or "none"
        raise InputError(f"there is no receipt {request!r} (the newest are: {known})")


@dataclass(frozen=True)
class Unfinished:
    """An erasure that has begun: who, what had held before, and the receipt as far as it is.

    Attributes
    ----------
    names
        The persons' ids.
    linked
        Ids of who brought them and whom they brought.
    held
        Of :class:`features.erasing.snapshots.Holding`.
    online
        Whether what is online was of what was known.
    """

    names: tuple[str, ...]
    linked: tuple[int | str, ...]
    held: dict[str, Any]
    online: bool
    receipt: Receipt


class Note:
    """Where the erasure that has begun is written down."""

    def __init__(self, workspace: Workspace) -> None:
        self._path = workspace.privacy / "unfinished.json"

    def write(self, unfinished: Unfinished) -> None:
        """Write it, for the owner's eyes alone."""
        told = {
            "names": unfinished.names,
            "linked": unfinished.linked,
            "held": unfinished.held,
            "online": unfinished.online,
            "receipt": unfinished.receipt.to_dict(),
        }
        with replacing(self._path, 0o600) as temporary:
            temporary.write_text(json.dumps(told), encoding="utf-8")

    def read(self) -> Unfinished | None:
        """Read it, or None where nothing is unfinished.

        Raises
        ------
        WorkspaceError
            It is damaged.
        """
        try:
            told = read_json(self._path)
            if told is None:
                return None
            return Unfinished(
                tuple(told["names"]),
                tuple(told["linked"]),
                told["held"],
                told["online"],
                Receipt.from_dict(told["receipt"]),
            )
        except (ValueError, KeyError, TypeError):
            raise WorkspaceError(
                f"{self._path} is damaged; remove it, and ask to forget the same persons again"
            ) from None

    def clear(self) -> None:
        """Forget it: nothing is left to do."""
        for path in (self._path, *self._path.parent.glob(f"{_BEGUN}*")):
            path.unlink(missing_ok=True)


def new_request(now: datetime) -> str:
    """Name a request.

    >>> new_request(datetime(2024, 5, 1))[:9]
    '20240501-'
    """
    return f"{now:%Y%m%d}-{secrets.token_hex(4)}"
