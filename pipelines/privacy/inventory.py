"""Where a customer's id or row can be in a workspace: every part of the folder, and what is of it.

Whoever adds a writer adds it here: a test fails on a part of a workspace that is not listed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from features.workspace import Workspace

How = Literal["rows", "own way", "page", "no persons"]
"""How a part is made free of a person: rows of Parquet files by ``customer_id``; in a way of its
own; pages that are made anew by their verb; or it holds none."""


@dataclass(frozen=True)
class Part:
    """A file or folder of the workspace.

    Attributes
    ----------
    name
        In the workspace's folder; may end in a pattern.
    holds
        What of customers is there.
    """

    name: str
    holds: str
    how: How
    files: tuple[str, ...] = ()


PARTS: tuple[Part, ...] = (
    Part("data", "orders and the other tables: exports as cleaned, merged, quarantined; pushed "
         "events", "own way"),
    Part("features", "snapshots of features, and what orders added up to", "own way",
         ("snapshots_*/*.parquet", "history_*/*/*.parquet")),
    Part("feast", "the online store: features and scores (or in Redis)", "own way"),
    Part("decisions", "what the endpoint answered, and from which features", "own way"),
    Part("exports", "decisions that other systems were given; where rows were sent", "own way"),
    Part("scores", "batch scores, a file a day", "rows", ("v*/*.parquet",)),
    Part("segments", "each customer's segments, a file a day", "rows", ("*.parquet",)),
    Part("plans", "who was planned to get what, and who was held out", "rows", ("*.parquet",)),
    Part("judged", "what a model said of customers on the days that it was judged on", "rows",
         ("*.parquet",)),
    Part("backtests", "the same, of replayed days", "rows", ("*.parquet",)),
    Part("scratch", "features of a training that runs", "own way"),
    Part("customer.html", "a customer's page", "page"),
    Part("data-report.html", "examples of what could not be read", "page"),
    Part("lifecycle-report.html", "totals; names nobody", "no persons"),
    Part("handbook.html", "nothing of customers", "no persons"),
    Part("mlflow", "models, figures and totals; names nobody", "no persons"),
    Part("effects", "what actions change, of groups", "no persons"),
    Part("tuning", "parameters that were tried", "no persons"),
    Part("serving", "a server's own counters", "no persons"),
    Part("runs", "what each run of the cycle did, in sentences; digests of files", "no persons"),
    Part("watched", "what a watch saw, of everybody at once", "no persons"),
    Part("privacy", "keyed hashes of who was erased; receipts", "no persons"),
    Part("workspace.json", "the layout", "no persons"),
    Part("lifecycle.yaml", "settings", "no persons"),
    Part("playbook.yaml", "actions", "no persons"),
    Part(".lock", "nothing", "no persons"),
)  # fmt: skip


def row_files(workspace: Workspace, part: str | None = None) -> Iterator[Path]:
    """List the Parquet files that have rows by ``customer_id``, of one part or of all."""
    for one in PARTS:
        if part in (None, one.name):
            for pattern in one.files:
                found = (workspace.root / one.name).glob(pattern)
                yield from sorted(path for path in found if not _hidden(path, workspace))


def parts_of(how: How) -> list[Part]:
    """List the parts that are treated in one way."""
    return [part for part in PARTS if part.how == how]


def unlisted(workspace: Workspace) -> list[Path]:
    """List what stands in the folder and is none of the parts: somebody else's, or a new writer's.

    What a killed run left (a name that begins with a point) is no part either, and not listed.
    """
    names = {part.name for part in PARTS}
    return sorted(
        path
        for path in workspace.root.iterdir()
        if path.name not in names and not path.name.startswith(".")
    )


def _hidden(path: Path, workspace: Workspace) -> bool:
    return any(name.startswith(".") for name in path.relative_to(workspace.root).parts)
