"""The playbook: the file in which a CRM manager lists the actions and what they bring.

Its form is explained to that reader in ``playbook.yaml``, the one that is shipped.

>>> playbook = load_playbook()
>>> len(playbook.actions), playbook.actions[0].name_en
(17, 'Helpful content')
"""

from __future__ import annotations

import hashlib
import json
import reprlib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, LiteralString

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from features.errors import InputError
from training.stages import STAGES

SHIPPED = Path(__file__).with_name("playbook.yaml")
NONE = "none"
LET_GO = "let_go"
# What an action can need; the first four are the optional tables of the data contract.
NEEDS = (
    "contracts",
    "customers",
    "interactions",
    "treatments",
    "category",
    "open_checkout",
    "open_complaint",
)

Place = tuple[int | str, ...]


def _known_stage(stage: str) -> str:
    if stage not in STAGES:
        raise _mistake(
            "unknown stage {stage}; use one of {known}", stage=stage, known=", ".join(STAGES)
        )
    return stage


def _known_need(need: str) -> str:
    if need not in NEEDS:
        raise _mistake("unknown data {need}; use one of {known}", need=need, known=", ".join(NEEDS))
    return need


def _mistake(template: LiteralString, **context: object) -> PydanticCustomError:
    """Make an error that tells the remedy itself; ``at`` in the context is its place."""
    return PydanticCustomError("playbook", template, context)


Stage = Annotated[str, AfterValidator(_known_stage)]
Need = Annotated[str, AfterValidator(_known_need)]
Text = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Effect(_Entry):
    """A belief about an effect: the likely value between a cautious and a hopeful one.

    >>> Effect(low=0.3, mid=0.2, high=0.4)
    Traceback (most recent call last):
    ...
    pydantic_core._pydantic_core.ValidationError: 1 validation error for Effect
      low 0.3, mid 0.2, high 0.4 are out of order; make low <= mid <= high ...
    """

    # Beyond 5, a log-odds or a sixfold spend is a slip of the decimal point.
    low: float = Field(ge=-5, le=5)
    mid: float = Field(ge=-5, le=5)
    high: float = Field(ge=-5, le=5)

    @model_validator(mode="after")
    def _ordered(self) -> Effect:
        if not self.low <= self.mid <= self.high:
            raise _mistake(
                "low {low}, mid {mid}, high {high} are out of order; make low <= mid <= high",
                low=self.low,
                mid=self.mid,
                high=self.high,
            )
        return self


class SpendEffect(Effect):
    """A relative change of spend: at -1 nothing is left."""

    low: float = Field(ge=-1, le=5)


class Incentive(_Entry):
    """What a redeemed offer costs: a share of the order, or an amount."""

    share_of_order: float | None = Field(None, ge=0, le=1)
    amount: float | None = Field(None, ge=0)

    @model_validator(mode="after")
    def _one_of_two(self) -> Incentive:
        if (self.share_of_order is None) == (self.amount is None):
            raise _mistake("an incentive is either share_of_order or amount; keep one of them")
        return self


class Action(_Entry):
    """Something that we may do for a customer, and what we believe it brings.

    ``lift_log_odds`` is added to the log-odds of buying within the horizon, ``lift_spend`` is the
    relative change of a buyer's net spend, ``redemption_rate`` the share of buyers who redeem.
    """

    key: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    name_en: Text
    name_zh: Text
    purpose: Literal["marketing", "service"]
    stages: tuple[Stage, ...] = Field(min_length=1)
    channel: Text
    contact_cost: float = Field(ge=0)
    incentive: Incentive | None = None
    redemption_rate: float = Field(0.0, ge=0, le=1)
    lift_log_odds: Effect
    lift_spend: SpendEffect
    needs: tuple[Need, ...] = ()
    cooldown_days: int = Field(ge=0)
    capacity: int | None = Field(None, ge=0)

    @model_validator(mode="after")
    def _consistent(self) -> Action:
        if self.key == NONE:
            raise _mistake("the key none stands for doing nothing; choose another", at=("key",))
        if self.incentive is not None and "redemption_rate" not in self.model_fields_set:
            raise _mistake("an incentive needs a redemption_rate; add it", at=("incentive",))
        if self.key == LET_GO and not self._is_nothing():
            raise _mistake(
                "let_go means to do nothing; set its contact_cost and lifts to 0, without incentive"
            )
        return self

    def _is_nothing(self) -> bool:
        lifts = (self.lift_log_odds, self.lift_spend)
        return (
            self.contact_cost == 0
            and self.incentive is None
            and all(lift.low == lift.high == 0 for lift in lifts)
        )


class ServiceStandard(_Entry):
    """What every customer of a stage can count on, in both languages."""

    en: Text
    zh: Text


class Playbook(_Entry):
    """All actions in order of preference where values are equal, and the service standards."""

    actions: tuple[Action, ...]
    service_standards: dict[Stage, ServiceStandard]

    @model_validator(mode="after")
    def _unique_and_complete(self) -> Playbook:
        keys = [action.key for action in self.actions]
        for index, key in enumerate(keys):
            if key in keys[:index]:
                raise _mistake(
                    "the key {key} is used twice; rename one",
                    key=key,
                    at=("actions", index, "key"),
                )
        for stage in STAGES:
            if not any(stage in action.stages for action in self.actions):
                raise _mistake(
                    "no action names the stage {stage}; add it to the stages of one",
                    stage=stage,
                    at=("actions",),
                )
            if stage not in self.service_standards:
                raise _mistake(
                    "no service standard for the stage {stage}; add one",
                    stage=stage,
                    at=("service_standards",),
                )
        return self

    @property
    def version(self) -> str:
        """Name the content: equal for equal rules, whatever the comments and the layout.

        >>> load_playbook().version == load_playbook(SHIPPED).version
        True
        """
        content = json.dumps(self.model_dump(mode="json"), sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(content.encode()).hexdigest()[:12]


def load_playbook(path: Path | None = None) -> Playbook:
    """Read a playbook; without a path, the one that is shipped.

    Raises
    ------
    InputError
        The file cannot be read or an entry is wrong; the message names the file, the line, the
        entry and the remedy.
    """
    file = SHIPPED if path is None else path
    root, content = _parse(file)
    try:
        return Playbook.model_validate(content)
    except ValidationError as error:
        raise InputError(_explain(file, root, error.errors()[0])) from None


def _parse(file: Path) -> tuple[Node, Any]:
    try:
        loader = yaml.SafeLoader(file.read_text(encoding="utf-8"))
        root = loader.get_single_node()
        if not isinstance(root, MappingNode):
            raise InputError(
                f"playbook {file}, line 1: it must hold actions and service_standards; "
                "start from a copy of the shipped one"
            )
        _refuse_repeated_keys(file, root)
        # Constructed from the very nodes that were checked, so that lines and values agree.
        return root, loader.construct_document(root)
    except FileNotFoundError:
        raise InputError(
            f"playbook {file} does not exist; correct serving.playbook in the settings"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"playbook {file} cannot be read: {error}; save it as UTF-8") from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise InputError(
            f"playbook {file}, line {line}: this is not YAML ({error.problem}); "
            "check the indentation, colons and quotes there"
        ) from None
    except yaml.YAMLError as error:
        raise InputError(f"playbook {file} is not YAML: {error}; correct it") from None


def _refuse_repeated_keys(file: Path, root: Node) -> None:
    # YAML itself would silently let the last one win.
    for mapping in _mappings(root, set()):
        seen: set[str] = set()
        for key, _ in mapping.value:
            if isinstance(key, ScalarNode) and key.value in seen:
                raise InputError(
                    f"playbook {file}, line {key.start_mark.line + 1}: {key.value} stands twice in "
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


def _explain(file: Path, root: Node, error: ErrorDetails) -> str:
    inner: Place = error.get("ctx", {}).get("at", ())
    place: Place = (*error["loc"], *inner)
    where = f"playbook {file}, line {_line(root, place)}"
    # The line tells which action it is; counting list items from 0 would only mislead.
    name = ".".join(part for part in place if isinstance(part, str))
    match error["type"]:
        case "playbook":
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
