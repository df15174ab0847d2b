"""A workspace that was moved, copied or mounted elsewhere: MLflow's database follows it.

MLflow writes absolute addresses of artifacts into its database. The folder it was in is noted
beside it; where that is no longer true, the addresses are put right before anything is read.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from features.workspace import replacing

NOTE = "location.txt"
DATABASE = "mlflow.db"
ADDRESSES = {
    "experiments": ("artifact_location",),
    "runs": ("artifact_uri",),
    "model_versions": ("source", "storage_location"),
    "logged_models": ("artifact_location",),
}


def follow(folder: Path) -> None:
    """Put the addresses in a workspace's MLflow folder right if it has moved.

    Parameters
    ----------
    folder
        The folder that holds ``mlflow.db``.
    """
    here, note = str(folder.resolve()), folder / NOTE
    former = note.read_text(encoding="utf-8").strip() if note.exists() else here
    if former != here and (folder / DATABASE).exists():
        with sqlite3.connect(folder / DATABASE, timeout=30) as database:
            for table, columns in ADDRESSES.items():
                _readdress(database, table, columns, (former, here))
    if former != here or not note.exists():
        with replacing(note) as temporary:
            temporary.write_text(here + "\n", encoding="utf-8")


def _readdress(
    database: sqlite3.Connection, table: str, columns: tuple[str, ...], move: tuple[str, str]
) -> None:
    # Names of tables and columns are this module's own; only the folders come from outside.
    present = {row[1] for row in database.execute(f"PRAGMA table_info({table})")}
    for column in present.intersection(columns):
        database.execute(f"UPDATE {table} SET {column} = replace({column}, ?, ?)", move)
