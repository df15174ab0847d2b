"""The notebooks, executed as Jupyter does, each in a kernel of its own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from unittest.mock import patch

import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).parent.parent / "notebooks"
SECONDS = 600
"""Until a cell must be done where the machine is busy with much else; a notebook takes a minute."""


def read(name: str) -> Any:
    return nbformat.read(FOLDER / name, as_version=4)


def execute(name: str, workspace: Path) -> str:
    """Run every cell over a workspace; give what was printed, and shown as text."""
    notebook = read(name)
    client = NotebookClient(
        notebook, timeout=SECONDS, resources={"metadata": {"path": str(FOLDER)}}
    )
    here = os.pathsep.join(filter(None, (str(FOLDER.parent), os.environ.get("PYTHONPATH"))))
    environment = {"LIFECYCLE_WORKSPACE": str(workspace), "PYTHONPATH": here}
    with patch.dict(os.environ, environment):
        client.execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert sum("image/png" in output.get("data", {}) for output in outputs) >= 2
    return "\n".join(o.get("text", "") or o.get("data", {}).get("text/plain", "") for o in outputs)
