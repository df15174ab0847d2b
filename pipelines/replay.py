"""`lifecycle replay`: give an answer again, from what it followed from."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from features.errors import InputError, WorkspaceError
from pipelines.context import Context
from serving.decisions import decision_ids
from serving.decisions.archive import Archive, Decision, features_of, kept_playbook
from serving.playbook import load_playbook
from serving.reasons import Reasons
from serving.scorer import Scorer
from serving.sentences import Language


@dataclass(frozen=True)
class ReplayReport:
    """An answer as it was given, and as it comes out now.

    Attributes
    ----------
    equal
        Whether both are the same, to the last digit.
    differences
        Where they are not: what was said, and what is said now.
    """

    decision_id: str
    at: str
    request_id: str
    caller: str
    model_version: int
    playbook: str
    equal: bool
    differences: dict[str, list[Any]]
    answer: dict[str, Any]
    features: dict[str, float | str | None]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def replay(context: Context, decision_id: str) -> ReplayReport:
    """Answer anew with that day's model, playbook and features.

    Raises
    ------
    InputError
        No decision of that id was kept.
    WorkspaceError
        The model or the playbook is not there any more.
    """
    context.workspace.require()
    decision = Archive(context.workspace.decisions).find(decision_id)
    if decision is None:
        raise InputError(
            f"no decision {decision_id!r} is kept; ids stand in every answer of the endpoint, and "
            f"are kept for {context.settings.serving.decision_days} days (serving.decision_days)"
        )
    scorer = _scorer(context, decision)
    matrix = np.frombuffer(features_of(decision)).reshape(1, -1)
    reasons: Reasons = decision.reasons  # type: ignore[assignment]
    language: Language = decision.language  # type: ignore[assignment]
    (again,) = scorer.answers(scorer.score(matrix, reasons=reasons, language=language))
    (name,) = decision_ids(scorer.deciders, [decision.customer_id], matrix)
    again |= {"customer_id": decision.customer_id, "decision_id": name}
    said = decision.answer
    differences = {
        key: [said.get(key), again.get(key)]
        for key in sorted(said | again)
        if said.get(key) != again.get(key)
    }
    return ReplayReport(
        decision_id,
        decision.at.isoformat(),
        decision.request_id,
        decision.caller,
        decision.model_version,
        decision.playbook,
        not differences,
        differences,
        again,
        scorer.bundle.vocabulary.in_words(matrix[0]),
    )


def _scorer(context: Context, decision: Decision) -> Scorer:
    registry = context.registry()
    playbook = kept_playbook(context.workspace.decisions, decision.playbook)
    if not playbook.exists():
        raise WorkspaceError(
            f"the playbook {decision.playbook} of decision {decision.decision_id} is not kept in "
            "decisions/playbooks; put it there under that name"
        )
    serving = context.settings.serving.model_copy(
        update={"consent_unknown": decision.consent_unknown}
    )
    version = registry.version(decision.model_version)
    return Scorer(registry.load(version), version.version, load_playbook(playbook), serving)
