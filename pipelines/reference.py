"""The reference in docs/reference.md, written from the code, from the contract to the command line.

``python -m pipelines.reference > docs/reference.md``; a test holds the file to the code.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import click
from pydantic import BaseModel

from features import catalogue, scores
from features.ingest.contract import CONTRACT, KINDS, TABLES
from features.settings import Settings
from pipelines.cli import main
from pipelines.command_reference import command_reference


def reference() -> str:
    """Write the reference as Markdown."""
    lines = ["# Reference", "", "Written from the code by `python -m pipelines.reference`.", ""]
    for section in (_contract(), _features(), _scores(), _settings(), command_reference(main)):
        lines += section
    return "\n".join(lines).rstrip() + "\n"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        cells = [cell.replace("|", r"\|") for cell in row]
        yield f"| {' | '.join(cells)} |"
    yield ""


def _contract() -> Iterator[str]:
    yield from ("## The data contract", "", "Required columns are **bold**.", "")
    for table in TABLES:
        contract = CONTRACT[table]
        yield from (f"### {table}", "", f"One row is {contract.row}.", "")
        rows = [
            (
                f"**{column.name}**" if column.required else column.name,
                column.value,
                column.meaning + (f" ({column.unit})" if column.unit else ""),
            )
            for column in contract.columns
        ]
        yield from _table(("column", "read as", "meaning"), rows)
        if table == "interactions":
            yield from (f"Kinds: {', '.join(KINDS)}.", "")


def _features() -> Iterator[str]:
    count = len(catalogue.FEATURES)
    yield from (
        f"## The features, version {catalogue.VERSION}",
        "",
        f"{count} features in {len(catalogue.VIEWS)} feature views. A window of n days holds the "
        "snapshot's day and the n - 1 before it. Null means that the fact does not exist yet, or "
        "that its table is absent; it is never a zero.",
        "",
    )
    for view, theme in catalogue.VIEWS.items():
        yield from (f"### {view}", "", f"{theme.meaning}. From `{theme.table}`.", "")
        rows = [
            (feature.name, feature.kind, feature.unit, feature.meaning)
            for feature in catalogue.in_view(view)
        ]
        yield from _table(("feature", "kind", "unit", "meaning"), rows)


def _scores() -> Iterator[str]:
    yield from (
        f"## The scores, version {scores.VERSION}",
        "",
        "Columns of `lifecycle score`, after `customer_id`; those of the feature service "
        f"`{scores.SERVICE}` are **bold**. A table of PostgreSQL has `project` and `run_key` too.",
        "",
    )
    rows = [
        (f"**{column.name}**" if column.looked_up else column.name, column.kind, column.meaning)
        for column in scores.COLUMNS
    ]
    yield from _table(("column", "kind", "meaning"), rows)


def _settings() -> Iterator[str]:
    yield from (
        "## The settings",
        "",
        "Command line > environment (`LIFECYCLE_SECTION__KEY`) > `lifecycle.yaml` > default.",
        "",
    )
    for section, field in Settings.model_fields.items():
        model = field.annotation
        if not (isinstance(model, type) and issubclass(model, BaseModel)):
            continue
        yield from (f"### {section}", "")
        rows = [
            (
                key,
                _default(setting.get_default(call_default_factory=True)),
                setting.description or "",
            )
            for key, setting in model.model_fields.items()
        ]
        yield from _table(("setting", "default", "meaning"), rows)


def _default(value: object) -> str:
    if value is None or value in ((), {}):
        return "–"
    text = ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
    return f"`{text}`"


if __name__ == "__main__":
    click.echo(reference(), nl=False)
