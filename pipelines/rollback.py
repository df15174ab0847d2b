"""`lifecycle rollback`: let a former champion answer again."""

from __future__ import annotations

import getpass
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from features.errors import InputError, WorkspaceError
from pipelines.context import Context
from training.registry import Registry, ScorerVersion
from training.succession import Move


@dataclass(frozen=True)
class RollbackReport:
    """Which version answers now.

    Attributes
    ----------
    former
        The one that answered until now, and is not promoted again by itself.
    """

    champion: int
    former: int
    trained_as_of: str
    by: str
    why: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def rollback(
    context: Context, why: str, to: int | None = None, by: str | None = None
) -> RollbackReport:
    """Move the alias ``champion`` back to a version that had it before.

    The version is loaded first: one that cannot answer does not get the alias. Endpoints follow
    within a poll. The version that is left is refused by ``promote`` from now on, unless forced.

    Parameters
    ----------
    to
        A former champion; default: the last one before the present one that was not itself rolled
        back.
    by
        Who does; default: the user of this process.

    Raises
    ------
    InputError
        No reason is given, or ``to`` never was champion, or is it now.
    WorkspaceError
        There is no former champion, or it cannot be loaded any more.
    """
    if not why.strip():
        raise InputError('--why is empty; say why, as in --why "wrong prices since Monday"')
    context.workspace.require()
    with context.workspace.locked():
        registry = context.registry()
        champion = registry.require_champion()
        chosen = _chosen(registry, champion, to)
        registry.load(chosen)
        who = by or getpass.getuser()
        registry.roll_back(champion, chosen, who, why.strip())
    return RollbackReport(
        chosen.version, champion.version, chosen.tags.get("as_of", ""), who, why.strip()
    )


def _chosen(registry: Registry, champion: ScorerVersion, to: int | None) -> ScorerVersion:
    former = _former(registry.succession(), champion.version)
    if to == champion.version:
        raise InputError(f"version {to} answers already; nothing is to be rolled back")
    if to is not None:
        if to not in former:
            known = ", ".join(map(str, former)) or "none"
            raise InputError(f"version {to} never was champion; former champions: {known}")
        return registry.version(to)
    usable = [version for version, was_left in former.items() if not was_left]
    if not usable:
        raise WorkspaceError(
            f"no champion before version {champion.version} is known that was not rolled back; "
            "`lifecycle champions` lists them, and --to names one"
        )
    return registry.version(usable[0])


def _former(moves: Sequence[Move], champion: int) -> dict[int, bool]:
    """List who answered before, the last first, each with whether it was then rolled back."""
    found: dict[int, bool] = {}
    for move in moves:
        if move.former is not None:
            # Whoever answered last stands last.
            found.pop(move.former, None)
            found[move.former] = move.how == "rolled back"
    found.pop(champion, None)
    return dict(reversed(found.items()))
