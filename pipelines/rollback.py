"""`lifecycle rollback`: let a former champion answer again."""

from __future__ import annotations

import getpass
from dataclasses import asdict, dataclass
from typing import Any

from features.errors import InputError, WorkspaceError
from pipelines.context import Context
from training.registry import Registry, ScorerVersion
from training.succession import left_by


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
    moves = registry.succession()
    # Whoever answered last stands first.
    former = [m.former for m in reversed(moves) if m.former not in (None, champion.version)]
    if to == champion.version:
        raise InputError(f"version {to} answers already; nothing is to be rolled back")
    if to is not None:
        if to not in former:
            known = ", ".join(map(str, dict.fromkeys(former))) or "none"
            raise InputError(f"version {to} never was champion; former champions: {known}")
        return registry.version(to)
    for version in former:
        if version is not None and left_by(moves, version) is None:
            return registry.version(version)
    raise WorkspaceError(
        f"no champion before version {champion.version} is known that was not rolled back; "
        "`lifecycle champions` lists them, and --to names one"
    )
