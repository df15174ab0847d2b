"""What a person sees at a terminal, and what a program reads: on a real pseudo-terminal."""

from __future__ import annotations

import os
import pty
import re
import shutil
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Mapping
from dataclasses import dataclass
from fcntl import ioctl
from pathlib import Path
from typing import Any

import pytest
from conftest import run, succeed
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from pipelines.console import BROKEN_PIPE, INTERRUPTED
from pipelines.tables import fitted

SECONDS = 120
COMMAND = [sys.executable, "-m", "pipelines.cli"]
_CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@dataclass(frozen=True)
class Shown:
    """What came to a terminal, as it was sent, and how the program ended."""

    sent: str
    code: int

    @property
    def lines(self) -> list[str]:
        return _CODES.sub("", self.sent).splitlines()


def at_terminal(
    *words: object, columns: int = 80, interrupt: str = "", **environment: str
) -> Shown:
    """Run the command line on a terminal of its own; press Ctrl+C once a text is there."""
    ours, theirs = pty.openpty()
    ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    process = subprocess.Popen(
        [*COMMAND, *map(str, words)], stdin=theirs, stdout=theirs, stderr=theirs,
        start_new_session=True, env=terminal_environment(environment),
    )  # fmt: skip
    os.close(theirs)
    sent = b""
    while True:
        try:
            came = os.read(ours, 65_536)
        except OSError:  # The other side is closed.
            break
        sent += came
        if interrupt and interrupt in sent.decode("utf-8", "replace"):
            os.killpg(process.pid, signal.SIGINT)
            interrupt = ""
        if not came:
            break
    os.close(ours)
    return Shown(sent.decode("utf-8"), process.wait(SECONDS))


def terminal_environment(own: Mapping[str, str]) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if k not in {"COLUMNS", "NO_COLOR"}}
    return {**kept, "TERM": "xterm-256color", "PYTHONWARNINGS": "ignore", **own}


TEXT = st.text(st.sampled_from("ab 忠é"), max_size=14).map(str.strip)
NUMBER = st.integers(0, 10**7).map("{:,}".format)


@given(data=st.data(), width=st.integers(40, 120), count=st.integers(1, 6))
def test_a_table_fits_and_loses_nothing(data: st.DataObject, width: int, count: int):
    kinds = [TEXT, *data.draw(st.lists(st.sampled_from([TEXT, NUMBER]), max_size=8))]
    columns = [data.draw(TEXT) for _ in kinds]
    rows = [[data.draw(kind) for kind in kinds] for _ in range(count)]
    lines = fitted(columns, rows, width)
    assert max(map(cell_len, lines)) <= width
    words = " ".join(lines).split()
    for cell in (cell for row in rows for cell in row):
        assert set(cell.split()) <= set(words), "no word is cut"


def test_numbers_stand_under_each_other_beside_chinese():
    rows = [["忠实客户", "1,307", "0.2"], ["loyal", "12", "–"]]
    assert fitted(["阶段", "n", "churn"], rows, 40) == [
        "阶段          n  churn",
        "忠实客户  1,307    0.2",
        "loyal        12      –",
    ]


@pytest.fixture(scope="module")
def own(trained: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy: these verbs score, and what others see is to stay as it was."""
    return Path(shutil.copytree(trained["workspace"], tmp_path_factory.mktemp("terminal") / "w"))


@pytest.fixture(scope="module")
def shown(own: Path) -> Shown:
    return at_terminal("--workspace", own, "segments", "--lang", "zh")


def test_a_terminal_shows_progress_and_tables_that_fit(shown: Shown):
    assert shown.code == 0
    assert "so far" in shown.sent
    assert max(map(cell_len, shown.lines)) <= 80
    assert any(re.fullmatch(r"scoring +━+ +900/900 0:00:\d\d", line) for line in shown.lines)
    assert not any("…" in line for line in shown.lines)
    chatter = [line for line in shown.lines if "Warning" in line or "Materializing" in line]
    assert chatter == []


def test_a_terminal_that_cannot_draw_is_told_in_lines(own: Path):
    shown = at_terminal("--workspace", own, "score", TERM="dumb")
    assert shown.code == 0
    assert "\x1b" not in shown.sent
    assert any(re.fullmatch(r"  scoring 900/900 \(\d+\.\d s\)", line) for line in shown.lines)


def test_ctrl_c_is_one_sentence_and_colours_switch_off(own: Path):
    words = ("--workspace", own, "report", "--out", own / "page.html")
    shown = at_terminal(*words, interrupt="starting", NO_COLOR="1")
    assert shown.code == INTERRUPTED
    assert shown.lines[-1] == "error: stopped by Ctrl+C; nothing was left half done"
    assert "Traceback" not in shown.sent
    assert re.findall(r"\x1b\[[0-9;]*3[0-9][0-9;]*m", shown.sent) == []


def test_a_reader_who_leaves_is_no_error(own: Path):
    process = subprocess.Popen(
        [*COMMAND, "--workspace", str(own), "settings", "--json", "-"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=terminal_environment({}),
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait(SECONDS) == BROKEN_PIPE
    process.stderr.close()


def test_machines_read_the_result_alone(own: Path, tmp_path: Path):
    # `succeed` parses the whole of standard output.
    assert succeed(own, "handbook", "--out", tmp_path / "a.html")["stages"] == 8
    quiet = run(own, "-q", "handbook", "--out", tmp_path / "b.html")
    assert (quiet.stdout, quiet.stderr, quiet.exit_code) == ("", "", 0)
    plain = run(own, "handbook", "--out", tmp_path / "c.html")
    assert "\x1b" not in plain.output
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "c.html").read_bytes()
