"""The file in which a CRM manager says who is in which stage.

Its form is explained to that reader in ``stages.yaml``, the one that is shipped.

>>> rules = load_stage_rules()
>>> rules.stages["churned"].when.partition(" and ")[0]
'recency_days > silent_days'
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Annotated, LiteralString

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, model_validator

from features import catalogue
from features.edited import Entry, Form, Place, Text, digest, load_edited, mistake
from training.expressions import Expression, ExpressionError, Kind, parse
from training.population import StageThresholds
from training.stages import STAGES
from training.wording import Wording

SHIPPED = Path(__file__).with_name("stages.yaml")
PREDICTED = ("churn_probability", "expected_spend", "annual_value")
"""Predictions that a rule can speak of."""
COMPANY = tuple(field.name for field in fields(StageThresholds))
_FORM = Form("stage rules", "serving.stage_rules", "stages")
_FACTS = tuple(name for name in catalogue.NAMES if name not in catalogue.CATEGORIES)


def _known_stage(stage: str) -> str:
    if stage not in STAGES:
        raise mistake(
            "unknown stage {stage}; use one of {known}", stage=stage, known=", ".join(STAGES)
        )
    return stage


def _spelt(given: object) -> object:
    """Take a number that stands alone as an expression too."""
    is_number = isinstance(given, int | float) and not isinstance(given, bool)
    return repr(given) if is_number else given


Stage = Annotated[str, AfterValidator(_known_stage)]
Said = Annotated[Text, BeforeValidator(_spelt)]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$")]


class Condition(Entry):
    """What must hold, and how that is said."""

    when: Text
    en: Text
    zh: Text


class StageRule(Entry):
    """What must hold for a stage, and how that is said; without ``when``, whoever is left.

    Any one of ``also`` gives the stage too, and ``stay`` to who was in it before.
    """

    when: Text | None = None
    en: Text
    zh: Text
    also: tuple[Condition, ...] = ()
    stay: Condition | None = None


@dataclass(frozen=True)
class Clause:
    """One line of the rules.

    Attributes
    ----------
    stage
        Place in :data:`training.stages.STAGES`.
    staying
        Whether it is asked only of who was in the stage before.
    when
        What must hold; None: it takes whoever is left.
    """

    stage: int
    staying: bool
    when: Expression | None
    en: Wording
    zh: Wording


class StageRules(Entry):
    """All stages in the order in which their rules are tried, and names for what rules share."""

    names: dict[Name, Said] = Field(default_factory=dict)
    stages: dict[Stage, StageRule]

    @model_validator(mode="after")
    def _whole(self) -> StageRules:
        for stage in STAGES:
            if stage not in self.stages:
                raise mistake("no rule for the stage {stage}; add one", stage=stage, at=("stages",))
        *ruled, last = self.stages
        for stage in ruled:
            if self.stages[stage].when is None:
                raise mistake(
                    "it has no when, so that no stage below it would ever be reached; add one",
                    at=("stages", stage),
                )
        for key in ("when", "also", "stay"):
            if getattr(self.stages[last], key):
                raise mistake(
                    "the last stage takes whoever is left; remove its {key}, or move it up",
                    key=key,
                    at=("stages", last, key),
                )
        # What is wrong in an expression is to be told with its line, when the file is read.
        self.clauses  # noqa: B018
        return self

    @property
    def version(self) -> str:
        """Name the content: equal for equal rules, whatever the comments and the layout.

        >>> load_stage_rules().version == load_stage_rules(SHIPPED).version
        True
        """
        # The order of the stages is part of it.
        return digest(_Ordered(rules=self, order=tuple(self.stages)))

    @cached_property
    def asked(self) -> tuple[str, ...]:
        """Facts and predictions that the rules speak of, and ``purchases`` always.

        >>> "churn_probability" in load_stage_rules().asked
        True
        """
        said = {"purchases"}
        for clause in self.clauses:
            said |= clause.when.names if clause.when is not None else set()
        return tuple(sorted(said - set(COMPANY)))

    @cached_property
    def clauses(self) -> tuple[Clause, ...]:
        """The rules as they are tried; of a stage, that of entering before that of staying."""
        return tuple(self._clauses())

    def _clauses(self) -> Iterator[Clause]:
        names = self._names()
        company = [
            name
            for name, meant in names.items()
            if name in COMPANY or (isinstance(meant, Expression) and meant.names <= set(COMPANY))
        ]
        told = {name: names[name] for name in company}
        for stage, rule in self.stages.items():
            said: list[tuple[StageRule | Condition, Place]] = [(rule, ("stages", stage))]
            said += [(one, ("stages", stage, "also", at)) for at, one in enumerate(rule.also)]
            if rule.stay is not None:
                said.append((rule.stay, ("stages", stage, "stay")))
            for entry, place in said:
                yield Clause(
                    STAGES.index(stage),
                    entry is rule.stay,
                    None if entry.when is None else _truth(entry.when, names, (*place, "when")),
                    _wording(entry.en, told, (*place, "en")),
                    _wording(entry.zh, told, (*place, "zh")),
                )

    def _names(self) -> dict[str, Kind | Expression]:
        given = (*_FACTS, *PREDICTED, *COMPANY)
        names: dict[str, Kind | Expression] = dict.fromkeys(given, "number")
        for name, text in self.names.items():
            if name in names:
                raise mistake(
                    "{name} means something already; choose another name",
                    name=name,
                    at=("names", name),
                )
            names[name] = _expression(text, names, ("names", name))
        return names


class _Ordered(Entry):
    rules: StageRules
    order: tuple[str, ...]


def load_stage_rules(path: Path | None = None) -> StageRules:
    """Read stage rules; without a path, those that are shipped.

    Raises
    ------
    InputError
        The file cannot be read or an entry is wrong; the message names the file, the line, the
        entry and the remedy.
    """
    return load_edited(StageRules, SHIPPED if path is None else path, _FORM)


_REFUSED: LiteralString = "{reason}"


def _expression(text: str, names: Mapping[str, Kind | Expression], at: Place) -> Expression:
    try:
        return parse(text, names)
    except ExpressionError as error:
        raise mistake(_REFUSED, reason=str(error), at=at) from None


def _truth(text: str, names: Mapping[str, Kind | Expression], at: Place) -> Expression:
    found = _expression(text, names, at)
    if found.kind != "truth":
        raise mistake("it is a number; compare it with something", at=at)
    return found


def _wording(text: str, names: Mapping[str, Kind | Expression], at: Place) -> Wording:
    try:
        return Wording.parse(text, names)
    except ExpressionError as error:
        raise mistake(_REFUSED, reason=str(error), at=at) from None
