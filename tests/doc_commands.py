"""The commands of the documentation: found in its pages, and typed as a reader types them."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from servers import free_port

ROOT = Path(__file__).parent.parent
SHELL, PYTHON = "sh", "python"
OUTPUT = ("", "json")
SERVER = re.compile(r"lifecycle serve\b|^mlflow/serve\b|^make mlflow\b")
SECONDS = 900
"""A bound of one command on a busy machine."""


@dataclass(frozen=True)
class Fence:
    """A fenced block of a page: its language, the line it begins on, and which chapter it is in."""

    language: str
    line: int
    chapter: int
    text: str


@dataclass(frozen=True)
class Block:
    """Commands that stand together, and what the page shows of their output, if it does."""

    page: Path
    line: int
    language: str
    commands: tuple[str, ...]
    shown: Fence | None = None

    @property
    def place(self) -> str:
        """Where it stands, for whoever mends it."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def fences(page: Path) -> list[Fence]:
    """Read the fenced blocks of a page."""
    found: list[Fence] = []
    inside: list[str] | None = None
    chapter = language = begun = 0
    for number, line in enumerate(page.read_text("utf-8").splitlines(), 1):
        if line.lstrip().startswith("```"):
            if inside is None:
                inside, begun, language = [], number, line.strip().strip("`")
            else:
                found.append(Fence(str(language), begun, chapter, "\n".join(inside)))
                inside = None
        elif inside is not None:
            inside.append(line)
        elif line.startswith("#"):
            chapter += 1
    return found


def commands(text: str) -> tuple[str, ...]:
    r"""Cut a shell block into commands: a line each, unless a quote or a backslash goes on.

    >>> commands("make demo   # all\n\ncurl -d '{\n}' x\na \\\n b")
    ('make demo   # all', "curl -d '{\n}' x", 'a \\\n b')
    """
    found: list[str] = []
    open_lines: list[str] = []
    for line in text.splitlines():
        open_lines.append(line)
        said = "\n".join(open_lines)
        try:
            words = shlex.split(said, comments=True)
        except ValueError:
            continue
        if said.endswith("\\"):
            continue
        open_lines = []
        if words:
            found.append(said.strip())
    assert not open_lines, f"a command does not end: {open_lines}"
    return tuple(found)


def blocks(page: Path) -> list[Block]:
    """Find the commands of a page, each block with the output shown right after it."""
    all_of = fences(page)
    shown = {
        id(block): after
        for block, after in pairwise(all_of)
        if after.language in OUTPUT and after.chapter == block.chapter
    }
    return [
        Block(
            page,
            fence.line,
            fence.language,
            commands(fence.text) if fence.language == SHELL else (fence.text,),
            shown.get(id(fence)),
        )
        for fence in all_of
        if fence.language in (SHELL, PYTHON)
    ]


def checkout(folder: Path) -> Path:
    """Copy the files of this repository to a folder, with the environment that runs the tests."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout.split("\0")  # fmt: skip
    for name in filter(None, listed):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    own, theirs = folder / ".venv", (ROOT / ".venv").resolve()
    own.mkdir()
    for name in ("bin", "lib"):
        (own / name).symlink_to(theirs / name)
    shutil.copy(theirs / "pyvenv.cfg", own)
    (own / ".installed").touch()  # It is: `make install` has nothing to do.
    return folder


@dataclass
class Reader:
    """Somebody in a checkout who types one command after the other.

    A server that they start goes on until they start the next, or leave. Ports are free ones in
    place of the pages', and what only another company has is stood in for.
    """

    folder: Path
    stand_ins: dict[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    took: list[tuple[float, str]] = field(default_factory=list)
    _server: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        self.environment = {
            **os.environ,
            "PYTHONPATH": str(self.folder),
            "LIFECYCLE_TRAINING__TRIALS": "2",
        }
        self.environment.pop("LIFECYCLE_WORKSPACE", None)

    def read(self, block: Block, left_out: tuple[str, ...] = ()) -> None:
        """Type a block's commands, and compare with what the page shows."""
        outputs = [
            self.type(command, block)
            for command in block.commands
            if not any(part in command for part in left_out)
        ]
        if block.shown is not None:
            wrong = differences(block.shown, outputs)
            assert not wrong, f"{block.place} shows what does not come: {wrong}\n{outputs[-1]}"

    def type(self, command: str, block: Block) -> str:
        """Type a command; it must succeed."""
        begun = time.monotonic()
        if command.startswith("export "):
            self.environment |= dict(w.split("=", 1) for w in shlex.split(command, True)[1:])
            return ""
        text = self._here(command)
        if SERVER.search(command):
            return self._serve(text, block)
        words = [".venv/bin/python", "-c", text] if block.language == PYTHON else _bash(text)
        done = subprocess.run(
            words, cwd=self.folder, env=self.environment, capture_output=True, text=True,
            timeout=SECONDS, check=False,
        )  # fmt: skip
        self.took.append((time.monotonic() - begun, command))
        assert done.returncode == 0, (
            f"{block.place}: {command}\nends with {done.returncode}: "
            f"{done.stdout[-2000:]}{done.stderr[-2000:]}"
        )
        return done.stdout

    def _here(self, command: str) -> str:
        for theirs, ours in self.stand_ins.items():
            command = command.replace(theirs, ours)
        command = command.replace("127.0.0.1:3000", f"127.0.0.1:{self.port}")
        command = command.replace("--port 3000", f"--port {self.port}")
        return re.sub(r"^curl\b", "curl --fail-with-body", command)

    def _serve(self, text: str, block: Block) -> str:
        self.leave()
        text = re.sub(r"^(mlflow/serve \S+)", rf"\1 {self.port}", text)
        log = self.folder / "server.log"
        with log.open("w") as out:
            self._server = subprocess.Popen(
                _bash(f"exec {text}"), cwd=self.folder, env=self.environment,
                stdout=out, stderr=out, start_new_session=True,
            )  # fmt: skip
        path = "health" if "mlflow" in text else "readyz"
        end = time.monotonic() + SECONDS
        while time.monotonic() < end and self._server.poll() is None:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/{path}", timeout=5).close()
                return log.read_text("utf-8")
            except OSError:
                time.sleep(0.3)
        raise AssertionError(f"{block.place}: {text}\ndoes not answer: {log.read_text()[-2000:]}")

    def leave(self) -> None:
        """Stop the server, if one was started."""
        if self._server is None:
            return
        if self._server.poll() is None:
            os.killpg(self._server.pid, signal.SIGTERM)
        try:
            self._server.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(self._server.pid, signal.SIGKILL)
            self._server.wait()
        self._server = None


def _bash(text: str) -> list[str]:
    return ["bash", "-euo", "pipefail", "-c", text]


def differences(shown: Fence, outputs: list[str]) -> list[str]:
    """Say what of a shown output's shape is in none of the outputs.

    Of JSON that is keys and kinds of values; of text the headings, and how each line begins, with
    any digits, or what follows a name.
    """
    if shown.language == "json":
        came = [json.loads(output) for output in outputs if output.startswith("{")]
        assert came, f"nothing printed JSON: {outputs}"
        return list(unlike(json.loads(shown.text), came[-1], "answer"))
    lines = [_cells(line) for output in outputs for line in output.splitlines() if line.strip()]
    known = {part for line in lines for part in line[0].partition(" ")[::2]} - {""}
    return [
        " ".join(line)
        for line in map(_cells, filter(str.strip, shown.text.splitlines()))
        if (line not in lines if _is_heading(line) else not {*line[0].partition(" ")[::2]} & known)
    ]


def _cells(line: str) -> list[str]:
    return re.split(r" {2,}", re.sub(r"\d[\d,.]*", "#", line.strip()))


def _is_heading(cells: list[str]) -> bool:
    return len(cells) > 3 and "#" not in "".join(cells)


def unlike(shown: Any, came: Any, place: str) -> Iterator[str]:
    """Name the places where two answers are not of one shape.

    >>> list(unlike({"a": 1, "b": [{"c": None}]}, {"a": 2.5, "b": [{"d": 1}, {}]}, "x"))
    ["x.b[0]: {'c'} and not {'d'}"]
    """
    if isinstance(shown, dict) and isinstance(came, dict):
        if shown.keys() != came.keys():
            more, less = shown.keys() - came.keys(), came.keys() - shown.keys()
            yield f"{place}: {more or 'nothing'} and not {less or 'more'}"
        for key in shown.keys() & came.keys():
            yield from unlike(shown[key], came[key], f"{place}.{key}")
    elif isinstance(shown, list) and isinstance(came, list):
        for number, (one, other) in enumerate(zip(shown[:1], came[:1], strict=False)):
            yield from unlike(one, other, f"{place}[{number}]")
    elif None not in (shown, came) and _kind(shown) != _kind(came):
        yield f"{place}: {shown!r} is not of the kind of {came!r}"


def _kind(value: Any) -> str:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return "number" if is_number else type(value).__name__
