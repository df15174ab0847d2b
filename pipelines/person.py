"""`lifecycle person`: all that is held of a person, as files for them (GDPR, art. 15 and 20)."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from features.errors import InputError
from features.forgotten import Forgotten
from features.ingest.ledger import Ledger
from features.online import read_state
from features.persons import Persons
from pipelines.context import Context
from pipelines.forget import checked
from pipelines.privacy.access import Held, everything_held, written
from pipelines.privacy.search import known
from serving.deliveries import Deliveries

README = "README.md"


@dataclass(frozen=True)
class PersonReport:
    """What was written.

    Attributes
    ----------
    rows
        File to the rows in it; of places that hold nothing there is no file.
    """

    folder: str
    rows: dict[str, int]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def person(context: Context, named: str, out: Path) -> PersonReport:
    """Write all that is held of a person into a new folder that only its owner can read.

    Raises
    ------
    InputError
        Nothing is held of them, or the folder is there already.
    WorkspaceError
        There is no workspace, or another command writes to it.
    """
    context.workspace.require()
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"--out {out} is there already; name a new folder")
    with context.workspace.locked():
        ledger = Ledger(context.workspace)
        persons = checked(ledger, [named])
        context.fold(ledger)
        if not known(context, persons):
            raise InputError(_nothing(context, persons))
        held = [one for one in everything_held(context, persons) if one.rows]
        out.mkdir(parents=True, exist_ok=True)
        out.chmod(0o700)
        rows = {}
        for one in held:
            file = out / f"{one.name}.{'csv' if one.flat else 'json'}"
            (_write_csv if one.flat else _write_json)(file, one.rows)
            rows[file.name] = len(one.rows)
        readme = "\n".join(_readme(context, held)) + "\n"
        (out / README).write_text(readme, encoding="utf-8")
    return PersonReport(str(out), rows)


def _nothing(context: Context, persons: Persons) -> str:
    (name,) = persons.names
    mark = Forgotten(context.workspace).find(name)
    if mark is not None:
        return (
            f"{name} was erased on {mark.on} by request {mark.request}, and nothing is held of "
            "them but the hash that says so"
        )
    return f"nobody named {name} is known here, and nothing is held of them; correct the id"


def _write_csv(file: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    with file.open("w", encoding="utf-8", newline="") as opened:
        writer = csv.DictWriter(opened, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def _write_json(file: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    text = json.dumps(rows, indent=1, ensure_ascii=False, default=written)
    file.write_text(text + "\n", encoding="utf-8")


def _readme(context: Context, held: Sequence[Held]) -> Iterator[str]:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    settings = context.settings
    yield "# What is held of you"
    yield ""
    yield (
        f"Written on {now} from the customer data of {settings.data.name}; money is in "
        f"{settings.data.currency}, times are UTC. CSV files open in any spreadsheet, JSON files "
        "in any program. Where another customer is meant, they are not named."
    )
    yield ""
    for one in held:
        end = "csv" if one.flat else "json"
        yield f"## {one.name}.{end}: {len(one.rows):,} rows"
        yield ""
        yield f"{one.about[0].upper()}{one.about[1:]}."
        present = {name for row in one.rows for name in row}
        told = [(name, text) for name, text in one.columns.items() if name in present]
        if told:
            yield ""
            yield from (f"- `{name}`: {text}" for name, text in told)
        yield ""
    yield "## How it is used"
    yield ""
    yield (
        "From the facts, features are computed; from these, models learned from many customers say "
        "how likely it is that you buy again and for how much, and rules put you into a stage and "
        "choose what may be offered. The reasons stand beside each score. "
        f"Answers of the endpoint are kept for {settings.serving.decision_days} days. Marketing "
        "needs your consent; sensitive attributes are neither learned from nor decided by."
    )
    state = read_state(context.workspace)
    if state is not None:
        yield ""
        yield f"What is online, for answers at once, is your row of features of {state.as_of}."
    places = [one.place for one in Deliveries(context.workspace).all()]
    if places:
        yield ""
        yield "Rows about customers, which may include you, were also sent to:"
        yield ""
        yield from (f"- {place}" for place in places)
