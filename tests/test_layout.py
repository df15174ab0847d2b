"""The house: imports flow one way, and nothing stands where it must not."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest
import yaml

REPOSITORY = Path(__file__).parent.parent
ROOMS = ("features", "training", "serving", "pipelines")


def imported(file: Path) -> set[str]:
    """The first part of every module that a file imports."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module)
    return {name.partition(".")[0] for name in names}


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_the_rooms_below_it(room: str):
    above = set(ROOMS[ROOMS.index(room) + 1 :])
    for file in (REPOSITORY / room).rglob("*.py"):
        assert not imported(file) & above, f"{file.name} looks up"


def module_of(file: Path) -> str:
    parts = file.relative_to(REPOSITORY).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@pytest.mark.parametrize("room", ROOMS)
def test_the_files_of_a_room_do_not_import_each_other_in_a_circle(room: str):
    files = {module_of(file): file for file in (REPOSITORY / room).rglob("*.py")}
    graph: dict[str, set[str]] = {}
    for module, file in files.items():
        inside = set()
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(room):
                inside |= {f"{node.module}.{alias.name}" for alias in node.names} & set(files)
                inside |= {str(node.module)} & set(files)
        graph[module] = inside - {module}
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " -> ".join((*path, name))
        if name not in done:
            for other in graph.get(name, ()):
                visit(other, (*path, name))
            done.add(name)

    for name in graph:
        visit(name, ())


def test_the_folder_mlflow_never_shadows_the_package():
    assert not (REPOSITORY / "mlflow" / "__init__.py").exists()
    assert not list((REPOSITORY / "mlflow").glob("*.py"))


def test_features_are_told_the_day_and_never_ask_a_clock():
    for room in ("features", "training"):
        for file in (REPOSITORY / room).rglob("*.py"):
            text = file.read_text()
            assert not re.search(r"\b(now|today|utcnow)\(\)", text), file.name


def test_every_dependency_has_a_floor_and_no_file_names_a_registry():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    groups = [
        project["project"]["dependencies"],
        *project["project"]["optional-dependencies"].values(),
        *project["dependency-groups"].values(),
    ]
    for requirement in (r for group in groups for r in group):
        assert ">=" in requirement, requirement
    for name in ("requirements.lock", "requirements-dev.lock"):
        text = (REPOSITORY / name).read_text()
        assert "://" not in text
        pinned = re.findall(r"^[a-z0-9][^\s]*==", text, re.MULTILINE)
        assert len(pinned) > 100
        assert text.count("--hash=sha256:") >= len(pinned)


def test_git_holds_no_generated_file_and_no_path_of_this_machine():
    if not (REPOSITORY / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run(
        ["git", "ls-files"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    ).stdout.split()
    assert not [f for f in listed if f.endswith((".parquet", ".db", ".pkl", "uv.lock"))]
    here = str(REPOSITORY)
    for file in listed:
        path = REPOSITORY / file
        if path.exists():
            assert here not in path.read_text(errors="ignore"), file


def test_what_the_endpoint_reads_beside_its_code_is_packed_with_it():
    included = yaml.safe_load((REPOSITORY / "bentofile.yaml").read_text())["include"]
    read = [
        file.relative_to(REPOSITORY)
        for room in ("features", "training", "serving")
        for file in (REPOSITORY / room).rglob("*")
        if file.is_file() and file.suffix in {".yaml", ".json"} and "exports" not in file.parts
    ]
    assert read
    for file in read:
        assert any(fnmatch(str(file), pattern) for pattern in included), file
