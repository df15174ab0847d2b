"""The list of features is whole: named, documented, served by Feast, and none of it is dead."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any, get_args

import pytest
from random_shops import AS_OF, RULES, Shop, random_shop, write

from features import catalogue
from features.catalogue import Kind
from features.computing import compute_snapshot
from features.definitions.rows import Rules
from features.engines import engine
from features.ingest.contract import TABLES, Table

OF_THE_DAY = {"as_of_day", "known_days", "season_days", "season"}
"""What the day itself says, whatever tables there are."""


def test_every_feature_is_named_once_and_documented():
    assert len(set(catalogue.NAMES)) == len(catalogue.NAMES)
    for feature in catalogue.FEATURES:
        assert feature.kind in get_args(Kind)
        assert feature.unit.strip(), feature.name
        assert len(feature.meaning.split()) >= 2, feature.name
        assert feature.name.isidentifier()
        assert feature.name == feature.name.lower()
        assert (feature.name in catalogue.CATEGORIES) == (feature.kind == "category")


def test_a_feature_of_a_window_says_how_long_it_is():
    for feature in catalogue.FEATURES:
        length = feature.name.removesuffix("_last_year").rsplit("_", 1)[-1]
        if length.endswith("d") and length[:-1].isdigit() and "change" not in feature.name:
            assert length[:-1] in feature.meaning or "same" in feature.meaning, feature


def test_the_views_share_the_features_out_among_them():
    shared_out = [feature for view in catalogue.VIEWS for feature in catalogue.in_view(view)]
    assert shared_out == list(catalogue.FEATURES)
    for name, view in catalogue.VIEWS.items():
        assert catalogue.in_view(name)
        assert view.meaning.strip()
        assert {feature.table for feature in catalogue.in_view(name)} == {view.table}
    assert {view.table for view in catalogue.VIEWS.values()} == set(TABLES)


def rows_of(shop: Shop, folder: Path, rules: Rules = RULES) -> list[dict[str, Any]]:
    paths = write(shop, folder)
    with engine("polars") as opened:
        return compute_snapshot(opened, paths, AS_OF, rules).to_pylist()


def test_no_feature_is_dead(tmp_path: Path):
    """Where all sorts of things happen, each feature says something, and not the same of all."""
    rules = Rules(RULES.static, (), RULES.seasons)
    rows = [
        row
        for size in (6, 9, 12, 25, 400)
        for row in rows_of(random_shop(size, size), tmp_path / f"{size}", rules)
    ]
    for feature in catalogue.FEATURES:
        said = {row[feature.name] for row in rows} - {None}
        assert said, feature.name
        assert len(said) > 1 or feature.name in OF_THE_DAY, feature.name


@pytest.mark.parametrize("absent", TABLES)
def test_an_absent_table_costs_its_features_and_no_other(absent: Table, tmp_path: Path):
    present = tuple(table for table in TABLES if table != absent)
    # Of few rows nobody has eight categories, of many everybody has a term without an end.
    shops = {size: random_shop(3, size, tables=present) for size in (9, 12, 30, 700)}
    rows = [row for size, shop in shops.items() for row in rows_of(shop, tmp_path / f"{size}")]
    assert rows
    needs_orders_too = {
        "treatment_response_rate",
        "registered_to_first_purchase_days",
        "referred_spend_without_cost",
        "referred_margin_recorded",
    }
    for feature in catalogue.FEATURES:
        said = {row[feature.name] for row in rows} - {None}
        gone = feature.table == absent and feature.name not in OF_THE_DAY
        gone |= absent == "orders" and feature.name in needs_orders_too
        assert bool(said) != gone or feature.name in RULES.sensitive, feature.name


@pytest.mark.parametrize("key_type", get_args(catalogue.KeyType))
def test_feasts_views_and_services_are_the_catalogue(key_type: catalogue.KeyType, tmp_path: Path):
    from feast.types import Float64, Int64, String

    from features.views import definitions

    objects = definitions(tmp_path, key_type)
    kinds = {"count": Int64, "measure": Float64, "category": String}
    for name in catalogue.VIEWS:
        view = objects[name]
        assert view.join_keys == [catalogue.JOIN_KEY]
        assert [c.dtype for c in view.entity_columns] == [
            Int64 if key_type == "integer" else String
        ]
        assert [(f.name, f.dtype, f.description) for f in view.features] == [
            (f.name, kinds[f.kind], f"{f.meaning} ({f.unit})") for f in catalogue.in_view(name)
        ]
        assert timedelta(0) < view.ttl < timedelta(days=1), "no day speaks for the next"
    for thing in objects.values():
        assert thing.owner
        assert thing.description
    for service in catalogue.SERVICES.values():
        assert objects[service].tags["catalogue_version"] == str(catalogue.VERSION)
        projections = objects[service].feature_view_projections
        assert {f.name for p in projections for f in p.features} == set(catalogue.NAMES)
        assert service.endswith(f"_v{catalogue.VERSION}")
