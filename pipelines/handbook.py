"""`lifecycle handbook`: the playbook and the stages as a page that a team can be handed."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from features.errors import InputError
from features.workspace import replacing
from pipelines.context import Context
from pipelines.handbook_content import handbook
from pipelines.handbook_page import handbook_markdown, handbook_page
from pipelines.playbook import champion_bundle
from serving.playbook import load_playbook
from serving.sentences import Language
from training.stage_rules import load_stage_rules

_WRITERS = {".html": handbook_page, ".htm": handbook_page, ".md": handbook_markdown}


@dataclass(frozen=True)
class HandbookReport:
    """What was written.

    Attributes
    ----------
    model_version
        Whose numbers stand in it; None where no model has been promoted.
    """

    file: str
    language: Language
    stages: int
    actions: int
    playbook: str
    model_version: int | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def write_handbook(
    context: Context, out: Path, asked: Language | None, playbook: Path | None
) -> HandbookReport:
    """Write the handbook of the playbook in use, or of another before it is in use.

    Raises
    ------
    InputError
        The playbook or the stages' rules cannot be read, or the file's ending is unknown.
    """
    settings = context.settings
    language = asked or settings.serving.language
    if out.suffix.lower() not in _WRITERS:
        raise InputError(f"{out.name} is neither .html nor .md; name the file so")
    if not out.parent.is_dir():
        raise InputError(f"the folder {out.parent} does not exist; make it first")
    book = load_playbook(playbook or settings.serving.playbook, settings.data.sensitive_attributes)
    rules = load_stage_rules(settings.serving.stage_rules)
    champion = champion_bundle(context)
    bundle, version = champion if champion is not None else (None, None)
    currency = settings.data.currency if bundle is None else bundle.currency
    made = handbook(
        book,
        rules,
        currency,
        language,
        bundle,
        version,
        vocabulary=settings.serving.vocabulary,
    )
    with replacing(out) as temporary:
        temporary.write_text(_WRITERS[out.suffix.lower()](made), encoding="utf-8")
    return HandbookReport(
        str(out), language, len(made.stages), len(book.actions), book.version, version
    )
