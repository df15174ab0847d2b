"""A YAML file that a person edits: checked as a whole, its mistakes told with line and remedy.

The playbook and the rules of the stages are such files. Each has a model of its own; what is the
same of all of them is here: that a key stands once, where a mistake is, and how it is said.

>>> mistake("low {low} is above high {high}; swap them", low=3, high=2).message()
'low 3 is above high 2; swap them'
"""

from __future__ import annotations

import hashlib
import json
import reprlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, LiteralString, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from features.errors import InputError

Place = tuple[int | str, ...]
Text = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]
_MISTAKE = "mistake"


class Entry(BaseModel):
    """A part of such a file; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


Whole = TypeVar("Whole", bound=Entry)


@dataclass(frozen=True)
class Form:
    """What a file is called in its mistakes.

    Attributes
    ----------
    name
        In a word or two, such as ``playbook``.
    setting
        The setting that names such a file.
    holds
        What must be in it.
    """

    name: str
    setting: str
    holds: str


def mistake(template: LiteralString, **context: object) -> PydanticCustomError:
    """Make an error that tells the remedy itself; ``at`` in the context is its place."""
    return PydanticCustomError(_MISTAKE, template, context)


def load_edited(model: type[Whole], file: Path, form: Form) -> Whole:
    """Read such a file into its model.

    Raises
    ------
    InputError
        The file cannot be read or an entry is wrong; the message names the file, the line, the
        entry and the remedy.
    """
    root, content = _parse(file, form)
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise InputError(_explain(f"{form.name} {file}", root, error.errors()[0])) from None


def digest(entry: Entry) -> str:
    """Name the content: equal for equal rules, whatever the comments and the layout.

    >>> digest(Entry())
    '44136fa355b3'
    """
    content = json.dumps(entry.model_dump(mode="json"), sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(content.encode()).hexdigest()[:12]


def _parse(file: Path, form: Form) -> tuple[Node, Any]:
    try:
        loader = yaml.SafeLoader(file.read_text(encoding="utf-8"))
        root = loader.get_single_node()
        if not isinstance(root, MappingNode):
            raise InputError(
                f"{form.name} {file}, line 1: it must hold {form.holds}; "
                "start from a copy of the shipped one"
            )
        _refuse_repeated_keys(f"{form.name} {file}", root)
        # Constructed from the very nodes that were checked, so that lines and values agree.
        return root, loader.construct_document(root)
    except FileNotFoundError:
        raise InputError(
            f"{form.name} {file} does not exist; correct {form.setting} in the settings"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{form.name} {file} cannot be read: {error}; save it as UTF-8") from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise InputError(
            f"{form.name} {file}, line {line}: this is not YAML ({error.problem}); "
            "check the indentation, colons and quotes there"
        ) from None
    except yaml.YAMLError as error:
        raise InputError(f"{form.name} {file} is not YAML: {error}; correct it") from None


def _refuse_repeated_keys(named: str, root: Node) -> None:
    # YAML itself would silently let the last one win.
    for mapping in _mappings(root, set()):
        seen: set[str] = set()
        for key, _ in mapping.value:
            if isinstance(key, ScalarNode) and key.value in seen:
                raise InputError(
                    f"{named}, line {key.start_mark.line + 1}: {key.value} stands twice in "
                    "one entry; remove one"
                )
            seen.add(str(key.value))


def _mappings(node: Node, visited: set[int]) -> Iterator[MappingNode]:
    if id(node) in visited:  # an alias may point back at its own parent
        return
    visited.add(id(node))
    if isinstance(node, MappingNode):
        yield node
        children = [value for _, value in node.value]
    else:
        children = node.value if isinstance(node, SequenceNode) else []
    for child in children:
        yield from _mappings(child, visited)


def _explain(named: str, root: Node, error: ErrorDetails) -> str:
    inner: Place = error.get("ctx", {}).get("at", ())
    place: Place = (*error["loc"], *inner)
    where = f"{named}, line {_line(root, place)}"
    # The line tells which action it is; counting list items from 0 would only mislead.
    name = ".".join(part for part in place if isinstance(part, str))
    match error["type"]:
        case "mistake":
            return f"{where}: {f'{name}: ' if name else ''}{error['msg']}"
        case "missing":
            return f"{where}: {name} is missing; add it"
        case "extra_forbidden":
            return f"{where}: {name} is unknown; correct its spelling or remove it"
        case _:
            reason = error["msg"][0].lower() + error["msg"][1:]
            return f"{where}: {name} = {reprlib.repr(error['input'])}: {reason}; correct that line"


def _line(node: Node, place: Place) -> int:
    """Find the line of an entry, or of the closest one around it that exists."""
    line = node.start_mark.line
    for part in place:
        if isinstance(node, MappingNode):
            found = [(key, value) for key, value in node.value if key.value == str(part)]
            if not found:
                break
            key, node = found[-1]  # after what `<<` merged in comes the entry's own
            line = key.start_mark.line
        elif isinstance(node, SequenceNode) and isinstance(part, int):
            node = node.value[part]
            line = node.start_mark.line
        else:
            break
    return int(line) + 1
