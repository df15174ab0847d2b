"""docs/reference.md says what the code says."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from test_docs import check_command

from pipelines.cli import main
from pipelines.command_reference import examples_of, verbs_of
from pipelines.reference import reference


def test_the_reference_is_written_from_the_code():
    written = Path(__file__).parent.parent / "docs" / "reference.md"
    assert written.read_text(encoding="utf-8") == reference(), (
        "run `python -m pipelines.reference > docs/reference.md`"
    )


VERBS = dict(verbs_of(main))


@pytest.mark.parametrize("name", VERBS)
def test_the_examples_of_a_verb_are_ones_that_it_takes(name: str):
    examples = "\n".join(examples_of(VERBS[name])).replace("\\\n", " ")
    said = [words.partition("lifecycle ")[2] for words in examples.splitlines()]
    assert said
    for words in filter(None, said):
        typed = re.sub(r"\$\([^)]*\)", "2024-06-30", words)
        check_command(shlex.split(typed.partition(" > ")[0].partition(" | ")[0]))
