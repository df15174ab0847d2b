"""`lifecycle replay`: give an answer again, from what it followed from."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from features.errors import InputError, WorkspaceError
from features.matrix import matrix_of
from pipelines.context import Context
from serving.decisions import decision_ids
from serving.decisions.archive import Archive, Decision, Kept, features_of, kept_file
from serving.playbook import load_playbook
from serving.reasons import Reasons
from serving.scorer import Scorer
from serving.sentences import LANGUAGES, Language
from training.stage_rules import load_stage_rules
from training.stages import STAGES, VOCABULARIES, Vocabulary
from training.staging import NOT_BEFORE

Float = NDArray[np.float64]
Codes = NDArray[np.int8]


@dataclass(frozen=True)
class ReplayReport:
    """An answer as it was given, and as it comes out now.

    Attributes
    ----------
    by
        ``endpoint``, or ``batch``.
    equal
        Whether both are the same, to the last digit.
    differences
        Where they are not: what was said, and what is said now.
    """

    decision_id: str
    by: str
    at: str
    request_id: str | None
    caller: str | None
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

    What the endpoint answered is in its record, with the features. What a batch said is in its
    file; the features come from the feature store, and are those that were scored if their
    decision still has the same id.

    Raises
    ------
    InputError
        No decision of that id was kept.
    WorkspaceError
        The model or the playbook is not there any more, or other facts are known of the day by now.
    """
    context.workspace.require()
    decision = Archive(context.workspace.decisions).find(decision_id)
    if decision is not None:
        return _replayed(context, decision)
    row = _in_batches(context, decision_id)
    if row is None:
        raise InputError(
            f"no decision {decision_id!r} is kept; ids stand in every answer and score; those of "
            f"the endpoint are kept for {context.settings.serving.decision_days} days "
            "(serving.decision_days)"
        )
    return _replayed_batch(context, row)


def _replayed(context: Context, decision: Decision) -> ReplayReport:
    scorer = _scorer(
        context,
        decision.model_version,
        decision.playbook,
        decision.stage_rules,
        decision.consent_unknown,
    )
    matrix = np.frombuffer(features_of(decision)).reshape(1, -1)
    reasons: Reasons = decision.reasons  # type: ignore[assignment]
    language: Language = decision.language  # type: ignore[assignment]
    before = _before(decision.answer)
    vocabulary: Vocabulary = decision.vocabulary  # type: ignore[assignment]
    again = _answer(scorer, matrix, before, reasons, language, vocabulary)
    (name,) = decision_ids(scorer.deciders, [decision.customer_id], matrix, before)
    again |= {"customer_id": decision.customer_id, "decision_id": name}
    differences = _differences(decision.answer, again, sorted(decision.answer | again))
    return ReplayReport(
        decision.decision_id,
        "endpoint",
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


def _in_batches(context: Context, decision_id: str) -> dict[str, Any] | None:
    files = context.workspace.scores.glob("v*_ids/[!.]*.parquet")
    for file in sorted(files, key=lambda f: f.stem, reverse=True):
        rows = pl.scan_parquet(file).filter(pl.col("decision_id") == decision_id).collect()
        if rows.height:
            return rows.row(0, named=True)
    return None


def _replayed_batch(context: Context, row: dict[str, Any]) -> ReplayReport:
    with context.workspace.locked():
        ledger = context.folded_ledger()
        context.snapshots(ledger, [row["as_of"]])
        facts = context.store(ledger).historical(pa.array([row["customer_id"]]), row["as_of"])
    before = _before(row)
    for consent in ("refuse", "plan"):
        scorer = _scorer(
            context,
            row["model_version"],
            row["playbook_version"],
            row["stage_rules_version"],
            consent,
        )
        matrix = matrix_of(facts, scorer.bundle.vocabulary)
        (name,) = decision_ids(scorer.deciders, [row["customer_id"]], matrix, before)
        if name == row["decision_id"]:
            break
    else:
        raise WorkspaceError(
            f"the facts of decision {row['decision_id']} are not those that were scored: what has "
            "arrived since changed them; what was said stands in the scores of "
            f"{row['as_of']}"
        )
    said = {**row, "as_of": row["as_of"].isoformat()}
    reasons: Reasons = row["reasons_method"]
    tried = [
        _answer(scorer, matrix, before, reasons, language, vocabulary)
        for language in LANGUAGES
        for vocabulary in VOCABULARIES
    ]
    # A file does not say in which language and vocabulary it was written.
    told = ("reasons", "stage_rule", "stage_label", "action_name", "action_note")
    again = min(
        tried, key=lambda one: [one[name] for name in told] != [said[name] for name in told]
    )
    again |= {"customer_id": row["customer_id"], "decision_id": row["decision_id"]}
    differences = _differences(said, again, [name for name in again if name in said])
    return ReplayReport(
        row["decision_id"],
        "batch",
        row["scored_at"].isoformat(),
        None,
        None,
        row["model_version"],
        row["playbook_version"],
        not differences,
        differences,
        again,
        scorer.bundle.vocabulary.in_words(matrix[0]),
    )


def _answer(
    scorer: Scorer,
    matrix: Float,
    before: Codes,
    reasons: Reasons,
    language: Language,
    vocabulary: Vocabulary,
) -> dict[str, Any]:
    scores = scorer.score(matrix, reasons=reasons, language=language, before=before)
    (answer,) = scorer.answers(scores, vocabulary)
    return answer


def _before(answer: dict[str, Any]) -> Codes:
    """Give the stage before, which the answer tells, as it was given to the scorer."""
    stage = answer.get("stage_before")
    return np.array([NOT_BEFORE if stage is None else STAGES.index(stage)], np.int8)


def _differences(
    said: dict[str, Any], again: dict[str, Any], names: list[str]
) -> dict[str, list[Any]]:
    return {
        name: [said.get(name), again.get(name)]
        for name in names
        if said.get(name) != again.get(name)
    }


def _scorer(
    context: Context, model: int, playbook: str, stage_rules: str, consent_unknown: str
) -> Scorer:
    registry = context.registry()
    actions = load_playbook(_kept(context, "playbooks", playbook))
    rules = load_stage_rules(_kept(context, "stage_rules", stage_rules))
    serving = context.settings.serving.model_copy(update={"consent_unknown": consent_unknown})
    version = registry.version(model)
    return Scorer(registry.load(version), version.version, actions, rules, serving)


def _kept(context: Context, kind: Kept, version: str) -> Path:
    kept = kept_file(context.workspace.decisions, kind, version)
    if not kept.exists():
        raise WorkspaceError(
            f"version {version} is not kept in decisions/{kind}; put it there as {version}.yaml"
        )
    return kept
