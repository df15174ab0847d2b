"""Which version answered when: every move of the champion alias, with who, when and why.

The moves are tags of the registered model in MLflow, one each, so that they are where the alias is:
whoever shares the registry sees the same. People read them in the model's description.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Literal

How = Literal["promoted", "forced", "rolled back"]

_HIDDEN = "mlflow."
"""MLflow's pages leave out tags that begin so: these are for programs."""
_TAG = "succession_"
HEADING = "### Which version answered when"
_TOLD = 10
"""Moves that are told in words, the newest first."""
_MOST_WHY = 2_000
"""Characters that are kept of a reason: a tag of MLflow has room for 5,000 bytes."""


@dataclass(frozen=True)
class Move:
    """One move of the alias.

    Attributes
    ----------
    at
        When, in UTC, to the second.
    version, former
        To which, and from which; None where none had answered before.
    by
        Who did.
    """

    at: datetime
    version: int
    former: int | None
    how: How
    by: str
    why: str

    def to_dict(self) -> dict[str, object]:
        """Plain values for JSON."""
        return {**asdict(self), "at": self.at.isoformat()}


def tag_of(place: int, move: Move) -> tuple[str, str]:
    """Write a move as a tag; the first has place 0."""
    values = {**move.to_dict(), "why": move.why[:_MOST_WHY]}
    return f"{_HIDDEN}{_TAG}{place:06d}", json.dumps(values, ensure_ascii=False)


def moves_in(tags: Mapping[str, str]) -> list[Move]:
    """Read the moves out of a model's tags, the oldest first; first they were not hidden.

    >>> from datetime import UTC
    >>> first = Move(datetime(2024, 5, 1, 8, tzinfo=UTC), 1, None, "promoted", "ann", "the first")
    >>> moves_in(dict([tag_of(0, first), ("other", "tag")])) == [first]
    True
    """
    found = []
    named = {tag.removeprefix(_HIDDEN): values for tag, values in tags.items()}
    for name in sorted(tag for tag in named if tag.startswith(_TAG)):
        values = json.loads(named[name])
        found.append(Move(**{**values, "at": datetime.fromisoformat(values["at"])}))
    return found


def told(moves: Sequence[Move]) -> str:
    """Tell the newest moves in Markdown.

    >>> from datetime import UTC
    >>> at = datetime(2024, 5, 1, 8, 30, tzinfo=UTC)
    >>> print(told([Move(at, 1, None, "promoted", "ann", "the first")]))
    ### Which version answered when
    - 2024-05-01 08:30 UTC: version 1, promoted by ann: the first
    """
    lines = [
        f"- {one.at:%Y-%m-%d %H:%M} UTC: version {one.version}, {one.how} by {one.by}: {one.why}"
        for one in reversed(moves[-_TOLD:])
    ]
    return "\n".join([HEADING, *lines])


def answering_at(moves: Sequence[Move], moment: datetime) -> Move | None:
    """Find the move by which a version answered at a moment; None before the first.

    >>> from datetime import UTC
    >>> days = [datetime(2024, 5, day, tzinfo=UTC) for day in (1, 3, 5)]
    >>> moves = [Move(days[0], 1, None, "promoted", "ann", ""),
    ...          Move(days[2], 2, 1, "promoted", "ann", "")]
    >>> answering_at(moves, days[1]).version, answering_at(moves, days[2]).version
    (1, 2)
    >>> answering_at(moves, datetime(2024, 4, 1, tzinfo=UTC)) is None
    True
    """
    return next((move for move in reversed(moves) if move.at <= moment), None)


def left_by(moves: Sequence[Move], version: int) -> Move | None:
    """Find the move by which a version was rolled back; None if it was not, or answered since.

    >>> from datetime import UTC
    >>> day = datetime(2024, 5, 1, tzinfo=UTC)
    >>> moves = [Move(day, 2, 1, "promoted", "ann", "good")]
    >>> moves.append(Move(day, 1, 2, "rolled back", "bo", "bad"))
    >>> left_by(moves, 2).why, left_by(moves, 1)
    ('bad', None)
    """
    for move in reversed(moves):
        if move.version == version:
            return None
        if move.former == version:
            return move if move.how == "rolled back" else None
    return None
