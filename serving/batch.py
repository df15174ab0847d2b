"""Scores of many customers as one table."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from features.matrix import matrix_of
from serving.reasons import Reasons
from serving.scorer import Scorer
from serving.sentences import Language
from training.bundle import NUMBERS

CHUNK = 20_000

SCHEMA_TAIL: tuple[tuple[str, pa.DataType], ...] = (
    ("as_of", pa.date32()),
    *((name, pa.float64()) for name in NUMBERS),
    ("lifecycle_stage", pa.string()),
    ("stage_rule", pa.string()),
    ("reasons", pa.list_(pa.string())),
    ("reasons_method", pa.string()),
    ("action", pa.string()),
    ("action_value", pa.float64()),
    ("action_value_low", pa.float64()),
    ("action_value_high", pa.float64()),
    ("action_effect", pa.string()),
    ("action_note", pa.string()),
    ("flags", pa.list_(pa.string())),
    ("model_version", pa.int64()),
    ("model_kind", pa.string()),
    ("playbook_version", pa.string()),
    ("feature_service", pa.string()),
)


def score_table(
    scorer: Scorer,
    features: pa.Table,
    threads: int = 1,
    reasons: Reasons = "fast",
    language: Language = "en",
) -> pa.Table:
    """Score a table of features.

    Parameters
    ----------
    features
        ``customer_id`` and the catalogue's columns, one row a customer.
    reasons, language
        How the reasons are found, and the language in which they are told.

    Returns
    -------
    pyarrow.Table
        ``customer_id`` and the columns of :data:`SCHEMA_TAIL`, rows in the same order.
    """
    customers = features["customer_id"].combine_chunks()
    schema = pa.schema([("customer_id", customers.type), *SCHEMA_TAIL])
    matrix = matrix_of(features, scorer.bundle.vocabulary)
    parts = list(_parts(scorer, customers, matrix, schema, threads, reasons, language))
    return pa.Table.from_batches(parts, schema)


def _parts(
    scorer: Scorer,
    customers: pa.Array,
    matrix: NDArray[np.float64],
    schema: pa.Schema,
    threads: int,
    reasons: Reasons,
    language: Language,
) -> Iterator[pa.RecordBatch]:
    constant = {
        "model_version": scorer.model_version,
        "model_kind": scorer.bundle.kind,
        "playbook_version": scorer.playbook_version,
        "feature_service": scorer.bundle.feature_service,
    }
    for start in range(0, len(matrix), CHUNK):
        chunk = np.ascontiguousarray(matrix[start : start + CHUNK])
        scores = scorer.score(chunk, threads, reasons, language)
        answers = scorer.answers(scores)
        columns = {
            "customer_id": customers.slice(start, len(chunk)),
            "as_of": pa.array(scores.as_of_day.astype(np.int32), pa.int32()).cast(pa.date32()),
        }
        for name, kind in SCHEMA_TAIL[1:]:
            values = (
                [constant[name]] * len(chunk)
                if name in constant
                else [answer[name] for answer in answers]
            )
            columns[name] = pa.array(values, kind)
        yield pa.record_batch([columns[name] for name in schema.names], schema=schema)
