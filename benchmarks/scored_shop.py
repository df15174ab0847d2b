"""A generated champion and the snapshot that it scores, for the benchmark of batch scoring.

Two models of 500 trees of 63 leaves; customers whose features follow six hidden traits, a tenth of
them unknown.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
from reasons import LABELS, PLACE, customers, fitted

from features import catalogue
from features.catalogue import SERVICES
from features.computing import TIMESTAMP, snapshot_schema
from features.days import closing, day_number
from features.matrix import Vocabulary
from features.snapshot_files import ROW_GROUP, writing
from training.adjustment import Adjustment
from training.attribution import Middle
from training.bundle import ScorerBundle
from training.calibration import ChurnCalibration, SpendCalibration
from training.intervals import LEVELS, PROMISED, IntervalTable
from training.population import StageThresholds
from training.prior import Prior
from training.prospects import Conversion
from training.recipe import Trees
from training.tiers import ValueTiers
from training.value import ValueTerms

DAY = date(2024, 6, 30)
VOCABULARY = Vocabulary(
    dict.fromkeys(catalogue.CATEGORIES, tuple(f"label {place}" for place in range(LABELS)))
)
SIZE = (500, 63)


def matrix_of_shop(number: int, seed: int = 11) -> np.ndarray:
    """Generate customers with histories of purchases that are possible."""
    values = customers(number, seed)
    rng = np.random.default_rng(seed + 1)
    days = rng.integers(1, 30, number).astype(np.float64)
    tenure = rng.integers(1, 700, number) + days
    values[:, PLACE["purchase_days"]] = values[:, PLACE["purchases"]] = days
    values[:, PLACE["tenure_days"]] = tenure
    values[:, PLACE["marketing_consent"]] = rng.integers(0, 2, number)
    values[:, PLACE["recency_days"]] = np.floor(tenure * rng.random(number))
    values[:, PLACE["order_value_first"]] = rng.gamma(2.0, 20.0, number)
    values[:, PLACE["as_of_day"]] = day_number(DAY)
    return values


def bundle(folder: Path, trees: int = SIZE[0], leaves: int = SIZE[1]) -> None:
    """Fit on a few generated customers and write the bundle."""
    matrix = matrix_of_shop(6_000)
    churn, spend = (fitted(matrix, trees, leaves, objective) for objective in ("binary", "gamma"))
    ratios = np.tile(np.geomspace(0.05, 6.0, len(LEVELS)), (5, 1))
    folder.mkdir(parents=True, exist_ok=True)
    ScorerBundle(
        kind="lightgbm",
        as_of=DAY,
        history_from=date(2022, 6, 30),
        horizon_days=91,
        feature_service=SERVICES["scorer"],
        vocabulary=VOCABULARY,
        prior=Prior.from_dict(
            {
                "family": "bg_nbd",
                "purchases": {"r": 0.8, "alpha": 40.0, "a": 0.8, "b": 2.5},
                "value": {"p": 6.0, "q": 4.0, "gamma": 15.0},
                "mean_order_value": 30.0,
            }
        ),
        trees=Trees(churn, spend),
        adjustment=Adjustment(
            ChurnCalibration(tree_weight=0.2),
            SpendCalibration(tree_weight=0.05),
            IntervalTable(np.array([0.2, 0.4, 0.6, 0.8]), ratios, PROMISED, 0.1),
        ),
        thresholds=StageThresholds(91.0, 30.0, 0.7, 0.4, 60.0, 2.0, 30.0),
        middle=Middle.of(matrix, 91.0),
        conversion=Conversion((0.05, 0.05, 0.05, 0.05), 20.0),
        terms=ValueTerms(0.3, 0.1),
        tiers=ValueTiers((20.0, 60.0, 150.0)),
        currency="EUR",
    ).save(folder)


def write_snapshot(path: Path, number: int) -> None:
    """Write the day's snapshot as the product does, a part of it at a time."""
    with writing(path, "benchmark") as writer:
        for start in range(0, number, ROW_GROUP):
            rows = min(ROW_GROUP, number - start)
            writer.write(_part(matrix_of_shop(rows, 100 + start // ROW_GROUP), start))


def _part(matrix: np.ndarray, start: int) -> pa.Table:
    schema = snapshot_schema(pa.int64())
    columns: dict[str, pa.Array] = {
        "customer_id": pa.array(np.arange(start, start + len(matrix))),
    }
    for name in catalogue.NAMES:
        values = matrix[:, PLACE[name]]
        unknown = np.isnan(values)
        if name in catalogue.CATEGORIES:
            codes = pa.array(np.nan_to_num(values).astype(np.int64), mask=unknown)
            columns[name] = pa.array(VOCABULARY.labels[name]).take(codes)
        elif pa.types.is_integer(schema.field(name).type):
            columns[name] = pa.array(np.nan_to_num(values).astype(np.int64), mask=unknown)
        else:
            columns[name] = pa.array(values, mask=unknown)
    table = pa.table(columns).cast(schema)
    stamp = pa.scalar(closing(DAY), pa.timestamp("us", "UTC"))
    return table.append_column(TIMESTAMP, pa.repeat(stamp, len(matrix)))
