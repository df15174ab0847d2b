"""Scores of many customers as Arrow columns, made of arrays and never customer by customer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from features.catalogue import JOIN_KEY
from features.matrix import matrix_of
from features.scores import COLUMNS
from serving.bands import BANDS
from serving.decisions import decision_ids
from serving.former_stages import DayStages
from serving.reasons import Reasons
from serving.scorer import Scorer, Scores
from serving.sentences import Language
from training.bitslices import ROWS_AT_ONCE
from training.profit import MISSING
from training.stages import STAGES, stage_labels
from training.stages import Vocabulary as StageWords

Float = NDArray[np.float64]

CHUNK = ROWS_AT_ONCE
"""Customers that are scored at a time: more take more memory and are little faster."""
MOMENT = pa.timestamp("us", "UTC")
_TYPES: Mapping[str, pa.DataType] = {
    "number": pa.float64(),
    "whole": pa.int64(),
    "text": pa.string(),
    "texts": pa.list_(pa.string()),
    "day": pa.date32(),
    "moment": MOMENT,
}
_DAY_MICROS = 86_400_000_000


def score_schema(key: pa.DataType) -> pa.Schema:
    """Name and type the columns of scores of customers whose ids are of a type."""
    named = [(column.name, _TYPES[column.kind]) for column in COLUMNS]
    return pa.schema([(JOIN_KEY, key), *named])


def score_batch(
    scorer: Scorer,
    customers: pa.Array,
    matrix: Float,
    threads: int = 1,
    reasons: Reasons = "fast",
    language: Language = "en",
    scored_at: datetime | None = None,
    former: DayStages | None = None,
    vocabulary: StageWords = "stages",
) -> pa.RecordBatch:
    """Score some customers.

    Parameters
    ----------
    customers
        Their ids, a row each.
    matrix
        Their features in the catalogue's order, shape (n, features), categories in the codes of the
        scorer's vocabulary.
    scored_at
        The moment to be told as that of the scoring; default: now.
    former
        The stages of the newest scores of an earlier day; None where there are none.

    Returns
    -------
    pyarrow.RecordBatch
        Columns as :func:`score_schema`, rows in the same order.
    """
    names = customers.to_pylist()
    before = former.of(names) if former is not None else None
    scores = scorer.score(matrix, threads, reasons, language, before)
    ids = decision_ids(scorer.deciders, names, matrix, before)
    moment = scored_at or datetime.now(UTC)
    columns = _columns(scorer, scores, len(matrix), moment, vocabulary)
    columns |= {JOIN_KEY: customers, "decision_id": pa.array(ids, pa.string())}
    schema = score_schema(customers.type)
    return pa.record_batch([columns[name] for name in schema.names], schema=schema)


def score_table(
    scorer: Scorer,
    features: pa.Table,
    threads: int = 1,
    reasons: Reasons = "fast",
    language: Language = "en",
    scored_at: datetime | None = None,
) -> pa.Table:
    """Score a table of features: ``customer_id`` and the catalogue's columns, a row a customer."""
    moment = scored_at or datetime.now(UTC)
    parts = []
    for start in range(0, features.num_rows, CHUNK):
        part = features.slice(start, CHUNK)
        matrix = matrix_of(part, scorer.bundle.vocabulary)
        customers = part[JOIN_KEY].combine_chunks()
        parts.append(score_batch(scorer, customers, matrix, threads, reasons, language, moment))
    return pa.Table.from_batches(parts, score_schema(features[JOIN_KEY].type))


def _columns(
    scorer: Scorer, scores: Scores, rows: int, moment: datetime, vocabulary: StageWords
) -> dict[str, pa.Array]:
    predictions, chosen = scores.predictions, scores.choices
    words, offered = scorer.words[scores.language], scores.offered
    labelled: dict[str, tuple[Sequence[Any], NDArray[Any]]] = {
        "risk_band": (BANDS, scores.risk),
        "value_band": (BANDS, scores.value),
        "lifecycle_stage": (STAGES, scores.stage),
        "stage_label": (stage_labels(vocabulary, scores.language), scores.stage),
        "stage_before": (STAGES, scores.before),
        "stage_rule": (scorer.stage_texts[scores.language], scores.stage_rule),
        "action": (chosen.keys, chosen.action_index),
        "action_name": (words.names, chosen.action_index),
        "action_offer": (words.offers, offered),
        "action_offer_why": (words.whys, offered),
        "action_note": (words.notes, chosen.note_index),
        "action_effect": (chosen.effects, chosen.action_index),
    }
    worth = scores.customer_value
    labelled |= worth.labelled(chosen.keys)
    numbers = predictions.numbers() | {
        "action_value": chosen.action_value,
        "action_value_low": chosen.action_value_low,
        "action_value_high": chosen.action_value_high,
        "action_measured_share": chosen.measured_share[chosen.action_index],
    }
    constant = {
        "reasons_method": scores.reasons_method,
        "model_version": scorer.model_version,
        "model_kind": scorer.bundle.kind,
        "playbook_version": scorer.playbook_version,
        "stage_rules_version": scorer.stage_rules_version,
        "feature_service": scorer.bundle.feature_service,
        # The feature store keeps moments in whole seconds.
        "scored_at": moment.replace(microsecond=0),
    }
    types = {column.name: _TYPES[column.kind] for column in COLUMNS}
    days = scores.as_of_day
    return {
        "as_of": pa.array(days.astype(np.int32), pa.int32()).cast(pa.date32()),
        "event_timestamp": pa.array((days + 1) * _DAY_MICROS - 1).cast(MOMENT),
        "reasons": pa.array(scores.reasons, types["reasons"]),
        "flags": _flags(scorer, scores),
        **{name: pa.array(np.ascontiguousarray(values)) for name, values in numbers.items()},
        # What is unknown of some is null.
        **{
            name: pa.array(np.ascontiguousarray(values), from_pandas=True)
            for name, values in worth.numbers().items()
        },
        "profit_missing": pa.array(MISSING, types["profit_missing"]).take(
            pa.array(worth.profit.missing)
        ),
        **{name: _told(labels, codes) for name, (labels, codes) in labelled.items()},
        **{
            name: pa.repeat(pa.scalar(value, types[name]), rows) for name, value in constant.items()
        },
    }


def _told(labels: Sequence[Any], codes: NDArray[Any]) -> pa.Array:
    """Spell codes; below zero is null."""
    return pa.array(labels, pa.string()).take(pa.array(codes.astype(np.int32), mask=codes < 0))


def _flags(scorer: Scorer, scores: Scores) -> pa.Array:
    """Say which of the eight sets of flags each customer has."""
    marks = (scores.predictions.prospect, scores.one_order, scores.in_sample)
    codes = sum(mark.astype(np.int32) << place for place, mark in enumerate(marks))
    sets = [scorer.flags(*(bool(code >> place & 1) for place in range(3))) for code in range(8)]
    return pa.array(sets, _TYPES["texts"]).take(pa.array(codes))
