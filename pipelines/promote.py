"""`lifecycle promote`: let the newest model answer, if it has earned it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from features.errors import LifecycleError, WorkspaceError
from pipelines.context import Context
from training.registry import ScorerVersion

MARGIN = 0.01
"""Loss of primary skill that is noise rather than a reason to refuse a fresher model."""


class Refused(LifecycleError):
    """The gate keeps the former champion; the message says why."""


@dataclass(frozen=True)
class PromoteReport:
    """Which version answers now, and why."""

    champion: int
    former: int | None
    why: str
    forced: bool

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def promote(context: Context, force: bool = False) -> PromoteReport:
    """Move the alias ``champion`` to the newest version.

    Raises
    ------
    WorkspaceError
        There is no version to promote.
    Refused
        The newest version is worse than the champion, or not trained for the same question.
    """
    context.workspace.require()
    with context.workspace.locked():
        registry = context.registry()
        newest, champion = registry.newest(), registry.champion()
        if newest is None:
            raise WorkspaceError("there is no model to promote; run `lifecycle train` first")
        refusal, why = _judge(newest, champion)
        if refusal and not force:
            raise Refused(f"{why}; the champion stays. `lifecycle promote --force` overrides this")
        registry.promote(
            newest,
            {
                "promoted_at": datetime.now(UTC).isoformat(timespec="seconds"),
                "promoted_because": f"forced: {why}" if refusal else why,
            },
        )
    return PromoteReport(
        newest.version, champion.version if champion else None, why, bool(refusal and force)
    )


def _judge(newest: ScorerVersion, champion: ScorerVersion | None) -> tuple[bool, str]:
    """Say whether to refuse, and why or why not."""
    name = f"version {newest.version}"
    if newest.tags.get("kind") == "btyd":
        merit = f"{name} answers with BG/NBD + Gamma-Gamma, which its trees did not beat"
    elif "primary_skill" in newest.tags:
        merit = (
            f"{name} is no worse than every baseline on {newest.tags['evaluation_day']} "
            f"(primary skill {float(newest.tags['primary_skill']):+.3f})"
        )
    else:
        merit = f"{name} has too little history to be judged out of time"
    if champion is None or champion.version == newest.version:
        return False, merit
    if newest.tags.get("horizon_days") != champion.tags.get("horizon_days"):
        return True, (
            f"{name} predicts {newest.tags.get('horizon_days')} days, the champion (version "
            f"{champion.version}) {champion.tags.get('horizon_days')}"
        )
    if newest.tags.get("as_of", "") < champion.tags.get("as_of", ""):
        return True, (
            f"{name} was trained as of {newest.tags['as_of']}, before the champion (version "
            f"{champion.version}, {champion.tags['as_of']})"
        )
    ours, theirs = (float(v.tags.get("primary_skill", "nan")) for v in (newest, champion))
    same_day = newest.tags.get("evaluation_day") == champion.tags.get("evaluation_day")
    if same_day and ours < theirs - MARGIN:
        return True, (
            f"{name} has primary skill {ours:+.3f} on {newest.tags['evaluation_day']}, the "
            f"champion (version {champion.version}) {theirs:+.3f} on the same day"
        )
    return False, merit
