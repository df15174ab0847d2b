"""docs/reference.md says what the code says."""

from __future__ import annotations

from pathlib import Path

from pipelines.reference import reference


def test_the_reference_is_written_from_the_code():
    written = Path(__file__).parent.parent / "docs" / "reference.md"
    assert written.read_text(encoding="utf-8") == reference(), (
        "run `python -m pipelines.reference > docs/reference.md`"
    )
