"""Spark gives what Polars does, from the same definition.

Spark is an extra and slow to start: one session, few histories. Where PySpark or Java is missing
these tests are skipped, but never in CI, which installs both.
"""

from __future__ import annotations

import logging
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import shop
from conftest import look_at
from features_in_plain_python import differences, expected_features
from random_shops import AS_OF, INTEGERS, RULES, TEXTS, TODAY, random_shop, write

from features import catalogue
from features.computing import Part, compute, compute_snapshot, open_tables
from features.days import day_of
from features.engines import engine
from training.bundle import NUMBERS

WITHOUT_SPARK = "PySpark is not installed: run `scripts/install spark`"
# A session this short never earns back what a compiler takes.
BRISK = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
WITHOUT_JAVA = "Spark needs Java 17 or later, and there is no `java`"


def missing(reason: str) -> None:
    if os.environ.get("CI") == "true":
        pytest.fail(f"{reason}; CI must have it")
    pytest.skip(reason)


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A small session, quiet and stopped at the end; the engine finds it and uses it."""
    try:
        from pyspark.sql import SparkSession
    except ImportError:
        missing(WITHOUT_SPARK)
    if "JAVA_HOME" not in os.environ and shutil.which("java") is None:
        missing(WITHOUT_JAVA)
    folder = tmp_path_factory.mktemp("spark")
    silence = folder / "log4j2.properties"
    silence.write_text("rootLogger.level = off\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
        patch.setenv("PYSPARK_PYTHON", sys.executable)
        logging.getLogger("py4j").setLevel(logging.ERROR)
        session = (
            SparkSession.builder.master("local[2]")
            .appName("lifecycle tests")
            .config(
                "spark.driver.extraJavaOptions", f"-Dlog4j2.configurationFile={silence} {BRISK}"
            )
            .config("spark.driver.memory", "1g")
            .config("spark.local.dir", str(folder))
            .config("spark.sql.warehouse.dir", str(folder / "warehouse"))
            .config("spark.sql.shuffle.partitions", "2")
            .config("spark.default.parallelism", "2")
            .config("spark.sql.adaptive.enabled", "false")
            .config("spark.sql.codegen.wholeStage", "false")
            .config("spark.sql.codegen.factoryMode", "NO_CODEGEN")
            .config("spark.sql.autoBroadcastJoinThreshold", "10m")
            .config("spark.ui.enabled", "false")
            .config("spark.ui.showConsoleProgress", "false")
            .getOrCreate()
        )
        try:
            yield session
        finally:
            session.stop()


@pytest.mark.usefixtures("session")
def test_spark_gives_what_polars_and_plain_python_do(tmp_path: Path):
    shop = random_shop(1, 60, TEXTS)
    paths = write(shop, tmp_path)
    found = []
    for name in ("spark", "polars"):
        with engine(name) as opened:
            found.append(compute_snapshot(opened, paths, AS_OF, RULES))
    expected = expected_features(shop, TODAY, RULES)
    assert not differences(found[0].to_pylist(), expected, catalogue.NAMES)
    assert found[0].equals(found[1])


@pytest.mark.usefixtures("session")
def test_going_on_from_a_former_day_is_computing_anew_on_spark(tmp_path: Path):
    shop = random_shop(3, 100, INTEGERS, ("orders",))
    paths = write(shop, tmp_path)
    days = [TODAY - 40, TODAY]
    with engine("spark") as opened:
        frames = open_tables(opened, paths, Part())
        *_, (_, gone_on, _) = compute(opened, frames, [day_of(day) for day in days], RULES)
    with engine("polars") as opened:
        assert gone_on.equals(compute_snapshot(opened, paths, AS_OF, RULES))


def test_the_registered_scorer_gives_a_spark_table_the_same_numbers(
    session: Any, trained: dict[str, Any]
):
    """As README says how: the champion's pyfunc over the columns of a snapshot."""
    from pyspark.sql import functions as F  # noqa: N812 - as everybody calls it

    import mlflow

    uri = f"sqlite:///{trained['workspace']}/mlflow/mlflow.db"
    [snapshot] = (trained["workspace"] / "features").glob(f"snapshots_*/{shop.LAST_DAY}.parquet")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", uri)
        look_at(uri)
        score = mlflow.pyfunc.spark_udf(
            session,
            "models:/lifecycle-scorer@champion",
            env_manager="local",
            result_type=", ".join(f"{name} double" for name in NUMBERS),
        )
        table = session.read.parquet(str(snapshot)).repartition(2)
        features = [
            F.col(name) if name in catalogue.CATEGORIES else F.col(name).cast("double").alias(name)
            for name in catalogue.NAMES
        ]
        rows = table.select("customer_id", score(F.struct(*features)).alias("scores"))
        found = rows.select("customer_id", "scores.*").orderBy("customer_id").toPandas()
    scores = pq.read_table(trained["out"])
    assert found["customer_id"].tolist() == scores["customer_id"].to_pylist()
    for name in NUMBERS:
        said = scores[name].to_numpy()
        assert found[name].to_numpy() == pytest.approx(said, rel=1e-12, abs=1e-12), name
