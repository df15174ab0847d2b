"""A YAML file that a person edits: checked as a whole, its mistakes told with line and remedy.

The playbook and the rules of the stages are such files. Each has a model of its own, whose
validators say with :func:`mistake` or :func:`mistakes` what is wrong; what is the same of all of
them is here: that a key stands once, where a mistake is, and how it is said.

>>> mistake("low {low} is above high {high}; swap them", low=3, high=2).message()
'low 3 is above high 2; swap them'
"""

from __future__ import annotations

import hashlib
import json
import reprlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, LiteralString, NamedTuple, NoReturn, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from features.errors import InputError

Place = tuple[int | str, ...]
"""Where in a file: keys of mappings and places in lists, from the outermost on."""
Text = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]
_OURS = "mistake"
_LIST, _ENTRIES = "it must be a list, such as [one, other]", "it must be entries, as name: value"
_REASONS = {
    "tuple_type": _LIST,
    "list_type": _LIST,
    "dict_type": _ENTRIES,
    "model_type": _ENTRIES,
}
"""What a person who writes YAML calls otherwise than pydantic does."""
_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxlist, _SHORT.maxdict = 2, 3, 3


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


class Mistake(NamedTuple):
    """What is wrong in a line, and what to do."""

    line: int
    text: str


class EditError(InputError):
    """A file has mistakes; the message is a line for each of them.

    Attributes
    ----------
    mistakes
        In the order of their lines.
    """

    def __init__(self, title: str, mistakes: Sequence[Mistake]) -> None:
        self.mistakes = tuple(sorted(set(mistakes)))
        super().__init__(
            "\n".join(f"{title}, line {one.line}: {one.text}" for one in self.mistakes)
        )


def mistake(template: LiteralString, **context: object) -> PydanticCustomError:
    """Make an error that tells the remedy itself; ``at`` in the context is its place."""
    return PydanticCustomError(_OURS, template, context)


def mistakes(found: Iterable[tuple[Place, str]]) -> PydanticCustomError | None:
    """Make one error of several, each with its place; None where there are none."""
    several = tuple(found)
    if not several:
        return None
    return PydanticCustomError(_OURS, "{first}", {"first": several[0][1], "several": several})


@dataclass(frozen=True)
class EditedFile:
    """A file as its YAML says, with the line of everything in it.

    Attributes
    ----------
    content
        Its values, made of the very nodes that know their lines.
    repeated
        Keys that stand twice in one entry, where YAML itself would silently let the last one win.
    """

    form: Form
    path: Path
    root: MappingNode
    content: dict[Any, Any]
    repeated: tuple[Mistake, ...]

    def line(self, place: Place) -> int:
        """Find the line of an entry, or of the closest one around it that exists."""
        node: Node = self.root
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

    def refuse(self, found: Sequence[Mistake]) -> NoReturn:
        """Say what is wrong with the file.

        Raises
        ------
        EditError
            Always.
        """
        raise EditError(f"{self.form.name} {self.path}", found)

    def mistake(self, place: Place, text: str) -> Mistake:
        """Tell a mistake at a place, named by the keys around it."""
        return Mistake(self.line(place), _named(place, text))

    def explain(self, error: ValidationError) -> list[Mistake]:
        """Put what pydantic found into words, with lines."""
        return [Mistake(self.line(place), text) for place, text in in_words(error)]


def in_words(error: ValidationError) -> Iterator[tuple[Place, str]]:
    """Say what pydantic found, each mistake with its place.

    >>> class Person(Entry):
    ...     age: int
    >>> try:
    ...     Person.model_validate({"age": "old", "aeg": 3})
    ... except ValidationError as error:
    ...     for place, text in in_words(error):
    ...         print(place, text)
    ('age',) age = 'old': input should be a valid integer, unable to parse string as an integer; ...
    ('aeg',) aeg is unknown; correct its spelling or remove it
    """
    for details in error.errors():
        yield from _in_words(details)


def _in_words(error: ErrorDetails) -> Iterator[tuple[Place, str]]:
    outer: Place = error["loc"]
    context = error.get("ctx", {})
    match error["type"]:
        case "mistake":
            for inner, text in context.get("several", [(context.get("at", ()), error["msg"])]):
                yield (*outer, *inner), _named((*outer, *inner), text)
        case "missing":
            yield outer, f"{_name(outer)} is missing; add it"
        case "extra_forbidden":
            yield outer, f"{_name(outer)} is unknown; correct its spelling or remove it"
        case "too_short" if error["input"]:
            # What it holds is wrong, and told by itself.
            return
        case _:
            reason = _REASONS.get(error["type"]) or error["msg"][0].lower() + error["msg"][1:]
            given = _SHORT.repr(error["input"])
            yield outer, f"{_name(outer)} = {given}: {reason}; correct that line"


def _named(place: Place, text: str) -> str:
    name = _name(place)
    return f"{name}: {text}" if name else text


def _name(place: Place) -> str:
    # The line tells which entry it is; counting list items from 0 would only mislead.
    return ".".join(part for part in place if isinstance(part, str) and part != "[key]")


def load_edited(model: type[Whole], file: Path, form: Form) -> Whole:
    """Read such a file into its model.

    Raises
    ------
    InputError
        The file cannot be read or entries are wrong; the message names the file and, for each
        mistake, the line, the entry and the remedy.
    """
    return read(parse(file, form), model)


def parse(path: Path, form: Form) -> EditedFile:
    """Read a file's YAML.

    Raises
    ------
    InputError
        It cannot be read, or is no YAML mapping; the message names file, line and remedy.
    """
    named = f"{form.name} {path}"
    try:
        loader = yaml.SafeLoader(path.read_text(encoding="utf-8"))
        root = loader.get_single_node()
        if not isinstance(root, MappingNode):
            text = f"it must hold {form.holds}; start from a copy of the shipped one"
            raise EditError(named, [Mistake(1, text)])
        repeated = tuple(_repeated_keys(root))
        # Constructed from the very nodes that were checked, so that lines and values agree.
        return EditedFile(form, path, root, loader.construct_document(root), repeated)
    except FileNotFoundError:
        raise InputError(
            f"{named} does not exist; correct {form.setting} in the settings"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{named} cannot be read: {error}; save it as UTF-8") from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        text = f"this is not YAML ({error.problem}); check the indentation, colons and quotes there"
        raise EditError(named, [Mistake(line, text)]) from None
    except yaml.YAMLError as error:
        raise InputError(f"{named} is not YAML: {error}; correct it") from None
    except RecursionError:
        raise InputError(f"{named} is nested too deeply to be one; correct it") from None


def read(
    file: EditedFile,
    model: type[Whole],
    across: Callable[[dict[Any, Any]], Iterable[tuple[Place, str]]] = lambda content: (),
) -> Whole:
    """Turn a file into its model.

    Parameters
    ----------
    across
        Mistakes that lie between entries, of content that need not be valid: what a model's own
        validator would say of them, said also where other mistakes keep it from running.

    Raises
    ------
    EditError
        Something in it is wrong.
    """
    found = list(file.repeated)
    try:
        made = model.model_validate(file.content)
    except ValidationError as error:
        found += file.explain(error)
        found += [file.mistake(place, text) for place, text in across(file.content)]
    if found:
        file.refuse(found)
    return made


def digest(entry: Entry) -> str:
    """Name the content: equal for equal rules, whatever the comments and the layout.

    What an entry leaves out names nothing: a file keeps its name when there is more that one may
    say.

    >>> digest(Entry())
    '44136fa355b3'
    """
    said = entry.model_dump(mode="json", exclude_defaults=True)
    content = json.dumps(said, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(content.encode()).hexdigest()[:12]


def _repeated_keys(root: Node) -> Iterator[Mistake]:
    for mapping in _mappings(root, set()):
        seen: set[str] = set()
        for key, _ in mapping.value:
            if isinstance(key, ScalarNode) and key.value in seen:
                yield Mistake(
                    key.start_mark.line + 1, f"{key.value} stands twice in one entry; remove one"
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
