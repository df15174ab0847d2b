"""Fits and forecasts of the models of repeat purchases on generated customers.

Customers (--customers, 1,000,000) are drawn from CDNOW's published Pareto/NBD, seen for one day to
two years, in whole days. The floor is one BG/NBD log-likelihood over the same rows in plain NumPy,
a row a customer. `lifetimes` fits BG/NBD to a twentieth of them, as a peer; where it cannot be
imported it is left out. Gamma-Gamma is fitted to spends drawn for the same customers.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaln, gammaln

from training.btyd import FAMILY, BetaGeometric, GammaGamma, ParetoNBD

TRUTH = ParetoNBD(r=0.553, alpha=10.578, s=0.606, beta=11.669)
SPENDS = GammaGamma(p=6.25, q=3.74, gamma=15.44)
HORIZON_DAYS = 91
Columns = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]


def seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    started = time.perf_counter()
    found = work()
    return time.perf_counter() - started, found


def drawn(customers: int, rng: np.random.Generator) -> Columns:
    age = rng.integers(1, 730, customers).astype(np.float64)
    frequency, recency = TRUTH.simulate(age, rng)
    return frequency.astype(np.float64), np.minimum(np.ceil(recency), age), age


def spends(frequency: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    rate = rng.gamma(SPENDS.q, 1 / SPENDS.gamma, frequency.size)
    days = np.maximum(frequency, 1)
    return np.where(frequency > 0, rng.gamma(SPENDS.p * days) / (rate * days), np.nan)


def floor(history: Columns) -> float:
    x, t_x, T = history[0], history[1] / 7, history[2] / 7
    r, alpha, a, b = 0.243, 4.414, 0.793, 2.426
    started = gammaln(r + x) - gammaln(r) + r * np.log(alpha) + betaln(a, b + x) - betaln(a, b)
    alive = -(r + x) * np.log(alpha + T)
    gone = np.log(a) - np.log(b + np.maximum(x, 1) - 1) - (r + x) * np.log(alpha + t_x)
    return float((started + np.logaddexp(alive, np.where(x > 0, gone, -np.inf))).sum())


def peer(history: Columns) -> float | None:
    try:
        from lifetimes import BetaGeoFitter  # noqa: PLC0415
    except ImportError:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        weeks = (history[0], history[1] / 7, history[2] / 7)
        return seconds(lambda: BetaGeoFitter().fit(*weeks))[0]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--customers", type=int, default=1_000_000)
    asked = parser.parse_args()
    rng = np.random.default_rng(5)
    history = drawn(asked.customers, rng)
    money = spends(history[0], rng)
    least = sorted(seconds(lambda: floor(history))[0] for _ in range(3))[1]
    print(f"{asked.customers:,} customers; one BG/NBD log-likelihood in plain NumPy {least:.3f} s")

    def report(name: str, taken: float, note: str = "") -> None:
        print(f"  {name:22}{taken:7.2f} s{taken / least:7.1f} times the floor  {note}", flush=True)

    for name, model in FAMILY.items():
        taken, fitted = seconds(lambda model=model: model.fit(*history, penalty=0.1))
        said = ", ".join(f"{key} {value:.3f}" for key, value in fitted.to_dict().items())
        report(f"{name} fit", taken, said)
        for what, method in (
            ("churn", fitted.probability_of_no_purchase),
            ("purchases", fitted.expected_purchases),
        ):
            report(
                f"{name} {what}", seconds(lambda method=method: method(*history, HORIZON_DAYS))[0]
            )
    report("gamma_gamma fit", seconds(lambda: GammaGamma.fit(history[0], money, penalty=0.1))[0])
    part: Columns = tuple(column[: asked.customers // 20] for column in history)  # type: ignore[assignment]
    theirs = peer(part)
    ours = seconds(lambda: BetaGeometric.fit(*part))[0]
    if theirs is not None:
        print(
            f"{part[0].size:,} customers, BG/NBD: lifetimes {theirs:.2f} s, here {ours:.2f} s, "
            f"{theirs / ours:.1f} times as fast"
        )


if __name__ == "__main__":
    main()
