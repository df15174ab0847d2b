"""The files that a person edits while the endpoint runs: the playbook and the stages' rules."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from features.errors import InputError
from features.settings import Settings
from serving.decisions.archive import Kept
from serving.playbook import SHIPPED as PLAYBOOK
from serving.playbook import Playbook, load_playbook
from training.stage_rules import SHIPPED as STAGE_RULES
from training.stage_rules import StageRules, load_stage_rules

log = logging.getLogger("lifecycle.serving")
_Stamp = tuple[tuple[int, int, int] | None, ...]


@dataclass(frozen=True)
class Rules:
    """What was edited, as it was read.

    Attributes
    ----------
    texts
        The files' own bytes with their kind and version, for the record of decisions.
    """

    playbook: Playbook
    stage_rules: StageRules
    texts: Sequence[tuple[Kept, str, bytes]]

    def same(self, other: Rules | None) -> bool:
        """Whether another says the same, be it in another layout."""
        return other is not None and [one[:2] for one in self.texts] == [
            one[:2] for one in other.texts
        ]


class Edits:
    """Follows the files; an edit that cannot be answered by leaves the last good one.

    Parameters
    ----------
    settings
        Which files they are, and what is sensitive.
    """

    def __init__(self, settings: Settings) -> None:
        self._playbook = settings.serving.playbook or PLAYBOOK
        self._stage_rules = settings.serving.stage_rules or STAGE_RULES
        self._sensitive = settings.data.sensitive_attributes
        self._stamp: _Stamp | None = None
        self._rules: Rules | None = None
        self.problem = ""

    def read(self) -> Rules:
        """Read what has been edited since, or give what was good last.

        Raises
        ------
        InputError
            There has been nothing good yet.
        """
        stamp = (_stamp(self._playbook), _stamp(self._stage_rules))
        if stamp != self._stamp:
            try:
                rules = self._load()
                if not rules.same(self._rules):
                    self._rules = rules
                self.problem = ""
            except InputError as error:
                self.refuse(str(error))
            self._stamp = stamp
        if self._rules is None:
            raise InputError(self.problem)
        return self._rules

    def refuse(self, why: str, former: Rules | None = None) -> None:
        """Say why the newest edit does not answer, and go on with the former."""
        problem = why.replace("\n", "; ")
        if problem != self.problem:
            log.warning("an edit does not answer: %s", problem)
        self.problem = problem
        self._rules = former or self._rules

    def _load(self) -> Rules:
        files = (self._playbook, self._stage_rules)
        texts = [_bytes(file) for file in files]
        playbook = load_playbook(self._playbook, self._sensitive)
        rules = load_stage_rules(self._stage_rules)
        if texts != [_bytes(file) for file in files]:
            raise InputError("the playbook or the stages' rules are being written just now")
        return Rules(
            playbook,
            rules,
            (("playbooks", playbook.version, texts[0]), ("stage_rules", rules.version, texts[1])),
        )


def _stamp(file: Path) -> tuple[int, int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:
        # What is wrong with it is said where it is read.
        return b""
