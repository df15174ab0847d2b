"""`lifecycle playbook`: check a playbook before it goes live, or begin one from the shipped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from features.edited import EditError, Mistake
from features.errors import InputError
from features.settings import Settings
from features.workspace import replacing
from pipelines.context import Context
from serving.playbook import SHIPPED, Action, Playbook, load_playbook
from serving.playbook_schema import SCHEMA_FILE
from serving.segments import BANDED, LABELLED
from training.bundle import ScorerBundle
from training.stages import STAGES


@dataclass(frozen=True)
class CheckReport:
    """What is wrong in a playbook, or what it says.

    Attributes
    ----------
    mistakes
        Each with its line; none: it can go live.
    version
        Digest of its content, which every answer names.
    stages
        What may be done in each stage, with what it costs.
    changes
        What it changes of the playbook that the settings name.
    advice
        What can never happen with the data and the model of this workspace.
    """

    file: str
    mistakes: tuple[Mistake, ...]
    version: str = ""
    stages: Mapping[str, list[str]] | None = None
    changes: tuple[str, ...] = ()
    advice: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**asdict(self), "mistakes": [one._asdict() for one in self.mistakes]}


def check_playbook(context: Context, file: Path | None) -> CheckReport:
    """Check a playbook, by default the one that the settings name; nothing is changed.

    Raises
    ------
    InputError
        It cannot be read.
    """
    settings = context.settings
    path = file or settings.serving.playbook or SHIPPED
    try:
        playbook = load_playbook(path, settings.data.sensitive_attributes)
    except EditError as error:
        return CheckReport(str(path), error.mistakes)
    champion = champion_bundle(context)
    return CheckReport(
        str(path),
        (),
        playbook.version,
        {stage: [_priced(a) for a in playbook.actions if stage in a.stages] for stage in STAGES},
        tuple(_changes(_live(settings, path), playbook)),
        () if champion is None else tuple(_advice(playbook, champion[0])),
    )


def copy_playbook(out: Path, context: Context) -> Path:
    """Begin a playbook: a copy of the one that is in use, with the schema beside it.

    Raises
    ------
    InputError
        There is such a file already.
    """
    if out.exists():
        raise InputError(f"{out} exists, and is left alone; name another file")
    if not out.parent.is_dir():
        raise InputError(f"the folder {out.parent} does not exist; make it first")
    source = context.settings.serving.playbook or SHIPPED
    schema = out.parent / SCHEMA_FILE.name
    for target, content in ((schema, SCHEMA_FILE), (out, source)):
        with replacing(target) as temporary:
            temporary.write_bytes(content.read_bytes())
    return schema


def _priced(action: Action) -> str:
    if action.incentive is None:
        offered = ""
    elif action.incentive.amount is not None:
        offered = f" and {action.incentive.amount:g} if redeemed"
    else:
        offered = f" and {action.incentive.share_of_order or 0:.0%} of the order if redeemed"
    return f"{action.key} ({action.contact_cost:.2f}{offered})"


def _live(settings: Settings, path: Path) -> Playbook | None:
    """Load what the settings name, where that is another file that can be read."""
    live = settings.serving.playbook or SHIPPED
    if live.exists() and path.samefile(live):
        return None
    try:
        return load_playbook(live)
    except InputError:
        return None


def _changes(before: Playbook | None, after: Playbook) -> Iterator[str]:
    if before is None or before.version == after.version:
        return
    old = {a.key: _entries(a) for a in before.actions}
    new = {a.key: _entries(a) for a in after.actions}
    for key in [*old, *(key for key in new if key not in old)]:
        if key not in new:
            yield f"{key} is gone"
        elif key not in old:
            yield f"{key} is new"
        else:
            for name in sorted(old[key].keys() | new[key].keys()):
                was, now = old[key].get(name), new[key].get(name)
                if was != now:
                    yield f"{key}: {name} from {_told(was)} to {_told(now)}"
    if [key for key in old if key in new] != [key for key in new if key in old]:
        yield "the order of actions, which decides between equals"
    for stage in STAGES:
        if before.service_standards[stage] != after.service_standards[stage]:
            yield f"the service standard of {stage}"


def _entries(action: Action) -> dict[str, Any]:
    return action.model_dump(mode="json", exclude_defaults=True)


def _told(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, list):
        return f"[{', '.join(map(_told, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{name}: {_told(one)}' for name, one in value.items())}}}"
    return str(value)


def champion_bundle(context: Context) -> tuple[ScorerBundle, int] | None:
    """Load what answers now and its version, where there is one to say what it knows."""
    if not context.workspace.root.is_dir():
        return None
    registry = context.registry()
    champion = registry.champion()
    return None if champion is None else (registry.load(champion), champion.version)


def _advice(playbook: Playbook, bundle: ScorerBundle) -> Iterator[str]:
    tables = {"contracts", "customers", "interactions", "treatments", "category"}
    for action in playbook.actions:
        lacking = sorted(set(action.needs) & tables - bundle.data_available)
        if lacking:
            yield f"{action.key} is never proposed: it needs {', '.join(lacking)}"
        for fact, condition in action.segments.items():
            if fact in BANDED or fact not in LABELLED or not isinstance(condition, tuple):
                continue
            known = bundle.vocabulary.labels.get(fact, ())
            unknown = [label for label in condition if label not in known]
            if unknown:
                yield (
                    f"{action.key} names {fact} {', '.join(unknown)}, which the model that answers "
                    f"does not know: nobody is in it; it knows {', '.join(known) or 'none'}"
                )
