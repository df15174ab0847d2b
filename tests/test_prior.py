"""The prior of a day, read from the feature matrix."""

from __future__ import annotations

import json

import numpy as np
import pytest

from features import catalogue
from training.attribution import Middle, attribute_prior
from training.btyd import FAMILY, FamilyName, ParetoNBD
from training.prior import Prior, column, summary


def matrix_of_buyers(customers: int) -> np.ndarray:
    rng = np.random.default_rng(4)
    tenure = rng.integers(10, 400, customers).astype(float)
    again, last = ParetoNBD(0.8, 6.0, 0.7, 12.0).simulate(tenure, rng)
    matrix = np.full((customers, len(catalogue.NAMES)), np.nan)
    facts = {
        "purchases": again + 1,
        "purchase_days": again + 1,
        "tenure_days": tenure,
        "recency_days": tenure - np.floor(last),
        "monetary_value": np.where(again > 0, rng.lognormal(3, 0.5, customers), np.nan),
        "order_value_first": rng.lognormal(3, 0.5, customers),
        "spend_gross": (again + 1) * 20.0,
    }
    for name, values in facts.items():
        matrix[:, catalogue.NAMES.index(name)] = values
    return matrix


@pytest.mark.parametrize("family", FAMILY)
def test_a_prior_of_each_family_comes_back_from_json_as_it_was(family: FamilyName):
    matrix = matrix_of_buyers(400)
    prior = Prior.fit(matrix, family)
    stored = json.loads(json.dumps(prior.to_dict()))
    again = Prior.from_dict(stored)
    assert again == prior
    assert stored["family"] == family
    assert type(again.purchases) is FAMILY[family]
    foretold = again.foretell(matrix, 60)
    churn = foretold.churn_probability
    assert ((churn > 0) & (churn < 1)).all()
    bought = (1 - churn) * foretold.spend_if_purchase
    assert (bought >= (1 - churn) * again.purchase_value(matrix) * (1 - 1e-12)).all()


def test_the_named_baseline_is_bg_nbd_and_what_fit_gives_unasked():
    matrix = matrix_of_buyers(400)
    assert Prior.fit(matrix) == Prior.fit(matrix, family="bg_nbd")
    frequency, recency, age = summary(matrix)
    assert (recency <= age).all()
    assert (frequency == column(matrix, "purchase_days") - 1).all()


@pytest.mark.parametrize("customers", [1, 2, 3, 4])
def test_the_customer_of_the_middle_is_one_that_there_can_be(customers: int):
    """Of an even number the middle lies between two, and purchases are whole numbers."""
    matrix = matrix_of_buyers(400)
    middle = Middle.of(matrix[:customers], active_days=1e6)
    told = attribute_prior(Prior.fit(matrix), middle, matrix, 60)
    assert np.isfinite(told.contributions).all()
    assert middle.purchase_days in column(matrix[:customers], "purchase_days")
