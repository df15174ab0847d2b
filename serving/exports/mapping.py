"""The mapping file of an export: which columns another system wants, and what it calls things.

Its form is explained to whoever edits one in ``zoho_crm.yaml`` and ``fxiaoke.yaml``.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from features.catalogue import JOIN_KEY
from features.errors import InputError
from features.scores import COLUMNS

SHIPPED = Path(__file__).parent
Watched = Literal["lifecycle_stage", "action", "risk_band", "value_band"]
WATCHED: tuple[Watched, ...] = ("lifecycle_stage", "action", "risk_band", "value_band")
"""A customer has changed where one of these has."""
FORMER = tuple(f"former_{name}" for name in WATCHED)
CHANGE = "change"
SOURCES = (JOIN_KEY, *(column.name for column in COLUMNS), CHANGE, *FORMER)
"""What a field can be taken from."""
_KINDS = {column.name: column.kind for column in COLUMNS}


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TargetField(_Entry):
    """One column of the other system.

    Attributes
    ----------
    source
        The scores' column, or ``change`` (new, changed, gone), or ``former_`` and a watched column.
    constant
        The same text in every row, in place of a source.
    values
        What the other system calls the source's values. All must be named, or ``otherwise`` given.
    decimals
        Places that a number is rounded to.
    """

    source: str | None = None
    constant: str | None = None
    values: dict[str, str] = Field(default_factory=dict)
    otherwise: str | None = None
    decimals: int | None = Field(None, ge=0, le=12)

    @model_validator(mode="before")
    @classmethod
    def _short(cls, given: Any) -> Any:  # noqa: ANN401 - of a file
        return {"source": given} if isinstance(given, str) else given

    @model_validator(mode="after")
    def _one_of_two(self) -> TargetField:
        if (self.source is None) == (self.constant is None):
            raise ValueError("give it either a source or a constant")
        if self.source is not None and self.source not in SOURCES:
            raise ValueError(f"there is no source {self.source}; use one of {', '.join(SOURCES)}")
        if self.decimals is not None and self.kind != "number":
            raise ValueError(f"decimals are for numbers, and {self.source} is none; remove them")
        return self

    @property
    def kind(self) -> str:
        """What kind of value the source is."""
        return _KINDS.get(self.source or "", "text")


class Mapping(_Entry):
    """How an export is written.

    Attributes
    ----------
    name
        Names the other system; what has been exported is remembered under it.
    fields
        Its columns in their order.
    watch
        What makes a customer changed.
    gone
        Whether customers who are no longer known are rows too, or only counted.
    """

    name: str = Field(pattern="^[a-z][a-z0-9_]{0,40}$")
    format: Literal["csv", "jsonl"] = "csv"
    encoding: Literal["utf-8", "utf-8-sig", "gb18030"] = "utf-8"
    date_format: str = "%Y-%m-%d"
    moment_format: str = "%Y-%m-%dT%H:%M:%SZ"
    watch: tuple[Watched, ...] = Field(WATCHED, min_length=1)
    gone: Literal["count", "rows"] = "count"
    fields: dict[str, TargetField] = Field(min_length=1)

    @field_validator("date_format", "moment_format")
    @classmethod
    def _formats(cls, value: str) -> str:
        if "%" not in value or date(2024, 1, 2).strftime(value) == date(2023, 12, 3).strftime(
            value
        ):
            raise ValueError(f"{value!r} tells no days apart; write it as %Y-%m-%d")
        return value

    @model_validator(mode="after")
    def _names_rows(self) -> Mapping:
        taken = {field.source for field in self.fields.values()}
        for needed, why in (
            (JOIN_KEY, "no row says whose it is"),
            ("decision_id", "no row says which decision it is"),
        ):
            if needed not in taken:
                raise ValueError(f"fields: {why}; add a field with the source {needed}")
        return self


def load_mapping(path: Path) -> Mapping:
    """Read a mapping file; a name without a folder may be that of a shipped one (``zoho_crm``).

    Raises
    ------
    InputError
        There is none, or it cannot be used; the message names the file, the field and the remedy.
    """
    shipped = SHIPPED / f"{path.name}.yaml"
    if not path.exists() and path.parent == Path() and shipped.exists():
        path = shipped
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        examples = ", ".join(sorted(file.stem for file in SHIPPED.glob("*.yaml")))
        raise InputError(
            f"mapping {path} does not exist; write one, or name a shipped one: {examples}"
        ) from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        first = str(error).splitlines()[0]
        raise InputError(f"mapping {path} cannot be read as YAML ({first}); correct it") from None
    try:
        return Mapping.model_validate(content)
    except ValidationError as error:
        raise InputError(_explain(path, error)) from None


def _explain(path: Path, error: ValidationError) -> str:
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    where = f"mapping {path}{f', {place}' if place else ''}"
    if first["type"] == "extra_forbidden":
        known = ", ".join(TargetField.model_fields if "fields." in place else Mapping.model_fields)
        return f"{where}: there is no such key; use one of {known}"
    if first["type"] == "missing":
        return f"{where} is missing; add it"
    said = first["msg"].removeprefix("Value error, ")
    if first["type"] == "value_error":
        return f"{where}: {said}"
    return f"{where} = {first['input']!r}: {said[0].lower()}{said[1:]}; correct it"
