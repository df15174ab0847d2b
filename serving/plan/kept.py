"""The plans of a workspace: a file a version, and a manifest a campaign that names the newest.

The manifest is written last: whoever reads finds a whole plan, the former or the new one, whenever
a writer dies.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from features.errors import InputError, WorkspaceError
from features.workspace import read_json, replacing, write_json

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,59}")


@dataclass(frozen=True)
class Withdrawal:
    """When, by whom and why a plan was taken back; the moment is UTC, in ISO 8601."""

    at: str
    by: str
    why: str


@dataclass(frozen=True)
class KeptPlan:
    """A version of a campaign's plan.

    Attributes
    ----------
    file
        Its rows, Parquet.
    key
        Names all that it follows from.
    began
        When the campaign was first planned, UTC.
    report
        What was said of it.
    withdrawn
        Why it counts for nothing any more; None where it does.
    """

    campaign: str
    version: int
    as_of: date
    file: Path
    key: str
    began: str
    report: dict[str, Any]
    withdrawn: Withdrawal | None = None


class KeptPlans:
    """The folder of a workspace's plans."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def newest(self, campaign: str) -> KeptPlan | None:
        """Read the newest version of a campaign's plan, or None where there is none.

        Raises
        ------
        WorkspaceError
            Its manifest is damaged.
        """
        path = self._manifest(campaign)
        try:
            manifest = read_json(path)
            if manifest is None:
                return None
            last = manifest["versions"][-1]
            return KeptPlan(
                campaign,
                int(last["version"]),
                date.fromisoformat(last["as_of"]),
                self.folder / last["file"],
                last["key"],
                manifest["began"],
                last["report"],
                Withdrawal(**last["withdrawn"]) if "withdrawn" in last else None,
            )
        except (ValueError, KeyError, TypeError, IndexError):
            raise WorkspaceError(
                f"{path} is damaged; restore it from a backup, or remove it to plan anew"
            ) from None

    def withdraw(self, campaign: str, withdrawal: Withdrawal) -> KeptPlan:
        """Take the newest plan of a campaign back; one that was taken back stays as it is."""
        plan = self.require(campaign)
        if plan.withdrawn is not None:
            return plan
        manifest = read_json(self._manifest(campaign))
        manifest["versions"][-1]["withdrawn"] = asdict(withdrawal)
        write_json(self._manifest(campaign), manifest)
        return replace(plan, withdrawn=withdrawal)

    def all(self) -> Iterator[KeptPlan]:
        """Read the newest plan of every campaign, by name."""
        for path in sorted(self.folder.glob("*.json")):
            plan = self.newest(path.stem)
            if plan is not None:
                yield plan

    def require(self, campaign: str) -> KeptPlan:
        """Read the newest plan of a campaign that there must be.

        Raises
        ------
        InputError
            There is none; the message names those that there are.
        """
        plan = self.newest(campaign) if _NAME.fullmatch(campaign) else None
        if plan is None:
            known = ", ".join(one.campaign for one in self.all()) or "none"
            raise InputError(
                f"there is no plan of a campaign {campaign!r} (there are: {known}); name one of "
                "them, or make it with `lifecycle recommend --campaign NAME`"
            )
        return plan

    def keep(
        self, campaign: str, as_of: date, table: pa.Table, key: str, at: str, report: dict[str, Any]
    ) -> KeptPlan:
        """Keep a new version of a campaign's plan; the former ones stay."""
        path = self._manifest(campaign)
        manifest = read_json(path) or {"campaign": campaign, "began": at, "versions": []}
        version = len(manifest["versions"]) + 1
        file = self.folder / f"{campaign}.v{version}.parquet"
        with replacing(file) as temporary:
            pq.write_table(table, temporary, compression="zstd")
        manifest["versions"].append(
            {
                "version": version,
                "made_at": at,
                "as_of": as_of.isoformat(),
                "file": file.name,
                "key": key,
                "report": report,
            }
        )
        write_json(path, manifest)
        return KeptPlan(campaign, version, as_of, file, key, manifest["began"], report)

    def _manifest(self, campaign: str) -> Path:
        return self.folder / f"{campaign}.json"


def checked_campaign(name: str) -> str:
    """Check the name of a campaign.

    >>> checked_campaign("spring-2025")
    'spring-2025'
    >>> checked_campaign("../spring")
    Traceback (most recent call last):
    ...
    features.errors.InputError: --campaign '../spring' cannot name a file; use letters, digits, - \
and _, 60 at most
    """
    if not _NAME.fullmatch(name):
        raise InputError(
            f"--campaign {name!r} cannot name a file; use letters, digits, - and _, 60 at most"
        )
    return name
