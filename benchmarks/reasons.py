"""Reasons a second: fast and exact, attributions alone and told, beside LightGBM's `pred_contrib`.

Two sizes of model: large (500 trees of 63 leaves, as FINDINGS' figures were taken) and small (120
trees of 8, about what training fits). Generated: 10,000 customers (--customers) whose features
follow six hidden traits, a tenth of them unknown. With --workspace it is the champion's own trees
and the newest snapshot's customers instead. One thread, rows a second of processor time;
`pred_contrib` and exact reasons are timed on 200 customers (--exact). Rounds are interleaved and
medians printed. The agreement is the share of those customers of whom fast and exact say the same:
the heaviest topic, the first that is named, and all three.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import pyarrow.parquet as pq
from feast_shop import interleaved, median
from numpy.typing import NDArray

from features import catalogue
from features.ingest.ledger import Ledger
from features.matrix import Vocabulary, matrix_of
from features.settings import Settings
from features.snapshots import snapshot_folder
from features.workspace import Workspace
from serving.reasons import choose, explain
from serving.sentences import LANGUAGES
from serving.teller import Teller
from serving.topics import TOPICS
from training.attribution import Attribution, Method, PathAttribution, tree_shap
from training.dataset import TREE_CATEGORIES, TREE_FEATURES, tree_matrix
from training.leaves import Leaves
from training.registry import open_registry

Float = NDArray[np.float64]
SIZES = {"large": (500, 63), "small": (120, 8)}
TRAITS = 6
LABELS = 12
PLACE = {name: place for place, name in enumerate(catalogue.NAMES)}
TOPIC_OF = np.full(len(catalogue.NAMES) + 1, -1)
for _number, _topic in enumerate(TOPICS):
    TOPIC_OF[[PLACE[name] for name in _topic.features]] = _number


@dataclass(frozen=True)
class Model:
    """What attributes and tells, and for whom."""

    name: str
    matrix: Float
    booster: lgb.Booster
    attribute: Callable[[Float, Method], Attribution]
    tellers: dict[str, Teller]


def customers(number: int, seed: int = 11) -> Float:
    """Generate whole and real numbers that go together, and codes of categories."""
    rng = np.random.default_rng(seed)
    traits = rng.normal(size=(number, TRAITS))
    spread = np.random.default_rng(11).normal(size=(TRAITS, len(catalogue.NAMES)))
    spread /= np.sqrt(TRAITS)
    values = np.exp(1.5 + traits @ spread + rng.normal(0, 0.5, (number, len(catalogue.NAMES))))
    for feature in catalogue.FEATURES:
        column = values[:, PLACE[feature.name]]
        if feature.kind == "count":
            column[:] = np.floor(column)
        elif feature.kind == "category":
            column[:] = np.floor(column) % LABELS
    values[rng.random(values.shape) < 0.1] = np.nan
    values[:, [PLACE["purchases"], PLACE["purchase_days"]]] = 3.0
    return values


def fitted(matrix: Float, trees: int, leaves: int, objective: str = "binary") -> lgb.Booster:
    rng = np.random.default_rng(12)
    learned = tree_matrix(matrix)
    weights = rng.normal(size=learned.shape[1]) * (rng.random(learned.shape[1]) < 0.2)
    score = np.log1p(np.nan_to_num(learned)) @ weights
    score += rng.logistic(size=len(score)) * score.std()
    parameters = {
        "objective": objective, "num_leaves": leaves, "learning_rate": 0.05, "lambda_l2": 20.0,
        "feature_fraction": 0.6, "extra_trees": True, "min_data_in_leaf": 20, "num_threads": 2,
        "verbosity": -1, "seed": 1,
    }  # fmt: skip
    label = score > np.median(score) if objective == "binary" else np.exp(score / score.std())
    data = lgb.Dataset(
        learned, label, categorical_feature=list(TREE_CATEGORIES),
        feature_name=list(TREE_FEATURES),
    )  # fmt: skip
    return lgb.train(parameters, data, num_boost_round=trees)


def generated(name: str, matrix: Float) -> Model:
    booster = fitted(matrix, *SIZES[name])
    paths, leaves = PathAttribution.of(booster), Leaves.of(booster)

    def attribute(rows: Float, method: Method) -> Attribution:
        if method == "exact":
            return tree_shap(booster, rows)
        return paths.attribute(leaves.found(tree_matrix(rows)))

    labels = tuple(f"label {place}" for place in range(LABELS))
    vocabulary = Vocabulary(dict.fromkeys(catalogue.CATEGORIES, labels))
    usual = {n: float(np.nanmedian(matrix[:, PLACE[n]])) for n in catalogue.NAMES}
    tellers = {each: Teller(each, vocabulary, usual, "EUR") for each in LANGUAGES}
    return Model(name, matrix, booster, attribute, tellers)


def champion(folder: Path, number: int) -> Model:
    workspace, settings = Workspace(folder), Settings()
    registry = open_registry(workspace, settings)
    bundle = registry.load(registry.require_champion())
    if bundle.trees.churn is None:
        raise SystemExit("the champion has no trees; there is nothing to compare")
    key_type = Ledger(workspace).customer_id_type
    newest = max(snapshot_folder(workspace, key_type).glob("*.parquet"))
    matrix = matrix_of(pq.read_table(newest), bundle.vocabulary)
    buyers = matrix[matrix[:, PLACE["purchases"]] > 0]
    chosen = np.random.default_rng(1).permutation(len(buyers))[:number]
    tellers = {
        each: Teller(each, bundle.vocabulary, bundle.middle.usual, bundle.currency)
        for each in LANGUAGES
    }
    return Model(newest.stem, buyers[chosen], bundle.trees.churn, bundle.attribution, tellers)


def timed(rows: int, work: Callable[[], Any]) -> Callable[[], float]:
    """Give the rows a second of processor time, which a busy machine does not change much."""

    def run() -> float:
        started = time.process_time()
        work()
        return rows / (time.process_time() - started)

    return run


def report(model: Model, exact: int, rounds: int) -> None:
    matrix, few = model.matrix, model.matrix[:exact]
    nobody = np.zeros(len(matrix), dtype=bool)

    def told(rows: Float, method: Method, language: str) -> None:
        added = model.attribute(rows, method).contributions
        explain(rows, added, nobody[: len(rows)], model.tellers[language])

    inputs = tree_matrix(few)
    added = model.attribute(matrix, "fast").contributions
    ways = {
        "pred_contrib": timed(
            len(few), lambda: model.booster.predict(inputs, pred_contrib=True, num_threads=1)
        ),
        "exact, told": timed(len(few), lambda: told(few, "exact", "en")),
        "fast, attribution alone": timed(len(matrix), lambda: model.attribute(matrix, "fast")),
        "fast, sentences alone": timed(
            len(matrix), lambda: explain(matrix, added, nobody, model.tellers["en"])
        ),
        "fast, told in English": timed(len(matrix), lambda: told(matrix, "fast", "en")),
        "fast, told in Chinese": timed(len(matrix), lambda: told(matrix, "fast", "zh")),
    }
    rates = {name: median(runs) for name, runs in interleaved(ways, rounds).items()}
    info = model.booster.dump_model()["tree_info"]
    leaves = np.mean([tree["num_leaves"] for tree in info])
    print(f"\n{model.name}: {len(info)} trees of {leaves:.0f} leaves, {len(matrix):,} customers")
    for name, rate in rates.items():
        print(
            f"  {name:26}{rate:>10,.0f} rows/s{rate / rates['pred_contrib']:>9.1f} x pred_contrib"
        )
    print("  agreement of fast with exact, shares of customers:")
    for what, share in agreement(model, few).items():
        print(f"    {what:24}{share:>8.3f}")


def agreement(model: Model, rows: Float) -> dict[str, float]:
    """Compare what both say of the same customers."""
    spoken = model.tellers["en"]
    fast, exact = (model.attribute(rows, way).contributions for way in ("fast", "exact"))
    heaviest = [
        np.argmax(
            [abs(added[:, TOPIC_OF[:-1] == place].sum(axis=1)) for place in range(len(TOPICS))],
            axis=0,
        )
        for added in (fast, exact)
    ]
    named = [TOPIC_OF[choose(added, spoken.tellable(rows))[0]] for added in (fast, exact)]
    return {
        "the heaviest topic": float(np.mean(heaviest[0] == heaviest[1])),
        "the topic named first": float(np.mean(named[0][:, 0] == named[1][:, 0])),
        "all that are named": float(
            np.mean([set(a) == set(b) for a, b in zip(*named, strict=True)])
        ),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--customers", type=int, default=10_000)
    parser.add_argument("--exact", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--workspace", type=Path, help="use this workspace's champion and customers"
    )
    asked = parser.parse_args()
    if asked.workspace is not None:
        report(champion(asked.workspace, asked.customers), asked.exact, asked.rounds)
        return
    matrix = customers(asked.customers)
    for name in SIZES:
        report(generated(name, matrix), asked.exact, asked.rounds)


if __name__ == "__main__":
    main()
