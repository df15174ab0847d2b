"""Requests that are answered at once: each gets what it would get alone."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Iterator, Sequence
from typing import Any

import httpx
import lightgbm as lgb
import numpy as np
import pytest

from features.catalogue import NAMES
from features.settings import Settings
from features.workspace import Workspace
from serving.endpoint.opening import Endpoint
from serving.endpoint.refusals import Refusal
from serving.endpoint.together import MOST_TOGETHER, Together
from training.attribution import PathAttribution
from training.bundle import ScorerBundle
from training.dataset import tree_matrix
from training.leaves import FEW_ROWS, Leaves
from training.leaves import TREES_AT_ONCE as GROUP
from training.trees import correction


def gathered(together: Together[int, int], *asked: int) -> list[Any]:
    async def run() -> list[Any]:
        return await asyncio.gather(*(together.ask(n) for n in asked), return_exceptions=True)

    return asyncio.run(run())


def test_what_waits_is_answered_in_few_calls_and_in_order():
    calls: list[int] = []

    def square(numbers: Sequence[int]) -> list[int | Refusal]:
        calls.append(len(numbers))
        return [number**2 for number in numbers]

    wanted = range(3 * MOST_TOGETHER + 2)
    assert gathered(Together(square), *wanted) == [number**2 for number in wanted]
    assert calls == [MOST_TOGETHER] * 3 + [2]


def test_who_comes_soon_after_a_call_shares_the_next_and_who_comes_to_an_idle_worker_never_waits():
    calls: list[int] = []

    def slow(numbers: Sequence[int]) -> list[int | Refusal]:
        calls.append(len(numbers))
        time.sleep(0.003)
        return list(numbers)

    async def run() -> None:
        together = Together(slow)
        first = asyncio.ensure_future(together.ask(0))
        for _ in range(3):
            await asyncio.sleep(0)
        assert first.done()
        later = []
        for number in range(1, 13):
            later.append(asyncio.ensure_future(together.ask(number)))
            await asyncio.sleep(0.001)
        assert await asyncio.gather(*later) == list(range(1, 13))

    asyncio.run(run())
    assert sum(calls) == 13
    assert len(calls) <= 7


def test_one_that_is_refused_or_breaks_harms_no_other():
    def inverse(numbers: Sequence[int]) -> list[int | Refusal]:
        return [Refusal(404, "odd", "odd") if n % 2 else 100 // n for n in numbers]

    said = gathered(Together(inverse), 2, 3, 0, 4)
    assert (said[0], said[3]) == (50, 25)
    assert isinstance(said[1], Refusal)
    assert isinstance(said[2], ZeroDivisionError)


@pytest.fixture(scope="module")
def endpoint(
    trained: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Endpoint]:
    root = tmp_path_factory.mktemp("together") / "w"
    shutil.copytree(trained["workspace"], root)
    made = Endpoint.of(Workspace(root), Settings())
    made.live.refresh()
    yield made
    made.stop()


def test_many_at_once_get_the_answers_of_one_after_the_other(endpoint: Endpoint):
    bodies: list[dict[str, Any]] = [{"customer_ids": [n]} for n in range(1, 40)]
    bodies += [
        {"customer_ids": [5, 5, 999_999]},
        {"customer_ids": [999_999]},
        {"customer_ids": [6], "reasons": "none"},
        {"customer_ids": [6], "lang": "zh"},
        {"customer_ids": ["x"]},
    ]

    async def asked(at_once: bool) -> list[tuple[int, Any]]:
        transport = httpx.ASGITransport(endpoint.application)
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
            posts = [client.post("/customers/score", json=body) for body in bodies]
            answers = await asyncio.gather(*posts) if at_once else [await one for one in posts]
        said = [(answer.status_code, answer.json()) for answer in answers]
        return [(s, {k: v for k, v in b.items() if k != "request_id"}) for s, b in said]

    alone = asyncio.run(asked(at_once=False))
    assert [status for status, _ in alone][-5:] == [200, 404, 200, 200, 404]

    def without_ids(answers: list[tuple[int, Any]]) -> list[Any]:
        for status, body in answers:
            if status >= 400:
                body["error"].pop("request_id", None)
        return answers

    assert without_ids(asyncio.run(asked(at_once=True))) == without_ids(alone)


@pytest.mark.parametrize("rows", [0, 1, 3, FEW_ROWS])
def test_few_rows_are_answered_as_many_to_the_last_bit(endpoint: Endpoint, rows: int):
    scorer = endpoint.live.answering.scorer
    bundle: ScorerBundle = scorer.bundle
    matrix, _ = endpoint.live.read(endpoint.live.answering, list(range(1, 101)))
    many = bundle.predict(matrix).numbers()
    few = bundle.predict(matrix[:rows]).numbers()
    for name, numbers in few.items():
        assert numbers.tobytes() == many[name][:rows].tobytes(), name
    whole = bundle.attribution(matrix).contributions
    assert bundle.attribution(matrix[:rows]).contributions.tobytes() == whole[:rows].tobytes()
    for booster, walked in zip(
        (bundle.trees.churn, bundle.trees.spend),
        bundle.trees.walk(matrix[:rows]),
        strict=True,
    ):
        assert walked.sums.tobytes() == correction(booster, matrix)[:rows].tobytes()
        assert np.isfinite(walked.sums).all()


def test_many_trees_add_up_in_the_groups_of_many_rows():
    rng = np.random.default_rng(5)
    matrix = rng.normal(size=(400, len(NAMES)))
    rows = tree_matrix(matrix)
    label = rows[:, 3] + rng.normal(size=400)
    trees = lgb.train({"verbosity": -1}, lgb.Dataset(rows, label), num_boost_round=2 * GROUP + 7)
    leaves = Leaves.of(trees)
    whole = correction(trees, matrix)
    paths = PathAttribution.of(trees)
    all_found = leaves.found(rows)
    assert leaves.sums(all_found).tobytes() == whole.tobytes()
    split = paths.attribute(all_found).contributions
    found = leaves.found(rows[:FEW_ROWS])
    few = leaves.sums(found)
    assert few.tobytes() == whole[:FEW_ROWS].tobytes()
    told = paths.attribute(found).contributions
    assert told.tobytes() == split[:FEW_ROWS].tobytes()
