"""The one settings object: command line > environment > file > default.

The file is ``lifecycle.yaml``, in the workspace or in the current folder; a variable of the
environment is the key in capitals with ``LIFECYCLE_`` before it and ``__`` between the levels; with
``_FILE`` after it, it names a file that holds the value, as a container's secrets are.

>>> Settings().value.margin
0.3
>>> Settings.load(overrides={"churn": {"horizon_days": 0}})
Traceback (most recent call last):
...
features.errors.InputError: setting churn.horizon_days = 0: input should be greater than or equal \
to 7; correct it in the command line
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_serializer,
    field_validator,
    model_validator,
)

from features.environment import read_environment
from features.errors import InputError
from features.ingest.contract import KINDS, TABLES
from features.servers import without_password

SETTINGS_FILE = "lifecycle.yaml"
_PATHS = (
    *(("data", table) for table in TABLES),
    ("serving", "playbook"),
    ("serving", "stage_rules"),
    ("run", "plan_to"),
)

_SECRET = ("monitoring.webhook",)
"""Settings that are secrets as a whole: not even a message about them shows what was set."""
_HIDDEN = "***"
_ADDRESSES = (
    "stores.tracking_uri", "stores.redis_url", "stores.registry", "stores.push_log",
    "training.storage",
)  # fmt: skip
"""Settings that may hold a password; one that is no address may be nothing else."""

DEFAULT_NON_PRODUCTS = (
    "POST", "DOT", "M", "D", "S", "C2", "B", "BANK CHARGES", "AMAZONFEE", "CRUK", "PADS",
    "ADJUST", "ADJUST2", "TEST001", "TEST002", "GIFT", "POSTAGE", "SHIPPING", "FEE",
)  # fmt: skip

# What says who and when is no attribute.
_NO_ATTRIBUTES = ("", "customer_id", "valid_from")


class Section(BaseModel):
    """A frozen group of settings that refuses keys which it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True)


def _database(value: str | None) -> str | None:
    """Let `postgresql://` mean the one driver that comes along."""
    if value is None:
        return None
    value = re.sub("^postgres(ql)?://", "postgresql+psycopg://", value)
    if not value.startswith(("postgresql+psycopg://", "sqlite:///")):
        raise ValueError(
            "this is no address of a database; write postgresql+psycopg://user@host/database"
        )
    return value


def _hidden(value: str | None) -> str | None:
    """Whoever writes settings down, or logs them, writes no password."""
    return None if value is None else without_password(value)


class DataSettings(Section):
    """What the data are and how a file's columns are named."""

    name: str = Field("orders", description="name of this data, used for the MLflow experiment")
    orders: Path | None = Field(
        None,
        description="file of orders that `ingest` reads by default, or the pattern of several, as "
        "in exports/orders-*.csv",
    )
    customers: Path | None = Field(None, description="file of customers, likewise")
    interactions: Path | None = Field(None, description="file of interactions, likewise")
    treatments: Path | None = Field(None, description="file of treatments, likewise")
    contracts: Path | None = Field(None, description="file of subscription terms, likewise")
    mapping: dict[str, str] = Field(
        default_factory=dict,
        description="contract column: the file's column; those of other tables than orders carry "
        "the table, as in interactions.kind",
    )
    kinds: dict[str, str] = Field(
        default_factory=dict, description="kind of interaction in the file: the contract's kind"
    )
    date_format: str | None = Field(
        None, description="strptime format of text dates; found by itself where it is unambiguous"
    )
    decimal_mark: Literal[".", ","] | None = Field(
        None, description="decimal sign of text numbers; found by itself where it is unambiguous"
    )
    currency: str = Field("EUR", description="the one currency of this workspace (ISO 4217)")
    observed_until: date | None = Field(
        None, description="last day that the export covers; default: the last order's day"
    )
    non_product_categories: tuple[str, ...] = Field(
        DEFAULT_NON_PRODUCTS, description="categories that count as money, not as products"
    )
    static_attributes: tuple[str, ...] = Field(
        (),
        description="columns of customers that never change; others without valid_from stay out "
        "of training",
    )
    sensitive_attributes: tuple[str, ...] = Field(
        (), description="columns of customers that are never features"
    )

    @field_validator("kinds")
    @classmethod
    def _contract_kinds(cls, value: dict[str, str]) -> dict[str, str]:
        for name, kind in value.items():
            if kind not in KINDS:
                raise ValueError(f"{name} becomes {kind!r}, which is none of {', '.join(KINDS)}")
        return value

    @field_validator("static_attributes", "sensitive_attributes")
    @classmethod
    def _attributes(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if name in _NO_ATTRIBUTES:
                raise ValueError(
                    f"{name!r} is no attribute of a customer; name columns such as region"
                )
        return value


class ChurnSettings(Section):
    """What churn means here."""

    horizon_days: int | None = Field(
        None,
        ge=7,
        le=1096,
        description="churned = no purchase within this many days, or under contract: lost by their "
        "end; default: the champion's, else from the customers' own cadence",
    )
    grace_days: int = Field(
        30,
        ge=0,
        le=366,
        description="with contracts: days after a term's end in which a renewal still counts",
    )
    silent_days: int | None = Field(
        None, ge=1, description="silence that makes the stage `churned`; default: the horizon"
    )
    activation_days: int | None = Field(
        None, ge=1, description="how long a customer is `new`; default: fitted to the usual gap"
    )


class ValueSettings(Section):
    """What a customer's spend is worth to the company."""

    margin: float = Field(0.3, gt=0, le=1, description="contribution margin on net revenue")
    discount_rate_yearly: float = Field(0.1, ge=0, le=1, description="for net present values")
    service_cost_yearly: float = Field(
        0.0, ge=0, description="what serving a customer costs in a year, in currency"
    )
    service_saved_yearly: float = Field(
        0.0,
        ge=0,
        description="what an experienced customer saves of it in a year, in currency; an item of "
        "CLV",
    )
    experienced_days: int = Field(
        365, ge=0, description="days after the first purchase from which a customer is experienced"
    )
    marketing_cost_yearly: float = Field(
        0.0,
        ge=0,
        description="what marketing to a customer costs in a year beside the recorded costs of "
        "interactions and treatments, in currency",
    )
    complaint_loss: float = Field(
        0.0,
        ge=0,
        description="what a complaint is assumed to cost in customers whom it puts off, in "
        "currency; taken off profit to date",
    )

    @model_validator(mode="after")
    def _saves_no_more_than_it_costs(self) -> ValueSettings:
        if self.service_saved_yearly > self.service_cost_yearly:
            raise ValueError(
                f"value.service_saved_yearly = {self.service_saved_yearly:g} is more than "
                f"value.service_cost_yearly = {self.service_cost_yearly:g}, of which it is saved; "
                "lower it"
            )
        return self


class FeatureSettings(Section):
    """How snapshots of features are computed."""

    engine: Literal["polars", "duckdb", "spark"] = Field(
        "polars", description="engine under the one narwhals definition; spark is an extra"
    )
    seasons: dict[str, str] = Field(
        {"valentine": "02-14", "halloween": "10-31", "christmas": "12-25"},
        description="seasons of this trade: name: MM-DD each year, or YYYY-MM-DD once",
    )

    @field_validator("seasons")
    @classmethod
    def _days(cls, value: dict[str, str]) -> dict[str, str]:
        for name, day in value.items():
            try:
                # A leap year has every day that a year can have.
                date.fromisoformat(day if len(day) > 5 else f"2024-{day}")
            except ValueError:
                raise ValueError(f"{name} is on {day!r}, which is no MM-DD or YYYY-MM-DD") from None
        return value


class TrainingSettings(Section):
    """How much is tried, and with which seed."""

    trials: int = Field(20, ge=0, le=10_000, description="Optuna trials for each of the two models")
    seed: int = Field(7, ge=0, description="seed of everything random")
    threads: int = Field(2, ge=1, le=256, description="threads of a LightGBM fit")
    step_days: int | None = Field(
        None,
        ge=1,
        description="days between training snapshots; default: four weeks, less in a young shop",
    )
    max_snapshots: int = Field(18, ge=1, le=240, description="most recent training snapshots kept")
    max_rows: int | None = Field(
        None,
        ge=1000,
        description="most rows (a customer on a day) learned from: above it, whole customers are "
        "drawn, by a digest of their id; default: all",
    )
    effects: bool = Field(
        True,
        description="whether `train` measures what actions change, where treatments have a "
        "control arm",
    )
    workers: int = Field(
        1, ge=1, le=256, description="processes that run trials, each with `threads` threads"
    )
    storage: str | None = Field(
        None,
        description="database of the Optuna studies, as postgresql+psycopg://user:password@host/"
        "database, for trials on many machines; default: files in the workspace",
    )

    _address = field_validator("storage")(_database)
    _secret = field_serializer("storage")(_hidden)


class GateSettings(Section):
    """How much a fresher model may lose against the champion and still take its place."""

    primary_margin: float = Field(
        0.01, ge=0, le=1, description="loss of primary skill, the one score"
    )
    calibration_margin: float = Field(
        0.01, ge=0, le=1, description="added calibration error of the churn probability"
    )
    total_margin: float = Field(
        0.1, ge=0, le=5, description="added log error of the total spend; 0.1 is about a tenth"
    )
    value_capture_margin: float = Field(
        0.03, ge=0, le=1, description="lost share of the best tenth's spend"
    )
    confidence: float = Field(
        0.8,
        ge=0.5,
        le=1,
        description="a loss beyond its margin refuses where so many draws of customers show it",
    )


class StoreSettings(Section):
    """Where the named components keep their state."""

    tracking_uri: str | None = Field(
        None, description="MLflow tracking and registry URI; default: sqlite in the workspace"
    )
    online: Literal["sqlite", "redis", "stock-sqlite", "stock-redis"] = Field(
        "sqlite", description="Feast's online store: packed ones, or Feast's own"
    )
    redis_url: str | None = Field(
        None, description="Redis of the online store, as redis://:password@host:6379/0"
    )
    offline: Literal["snapshots", "duckdb", "spark"] = Field(
        "snapshots", description="Feast's offline store: equality join, or Feast's own two"
    )
    spark_conf: dict[str, str] = Field(
        default_factory=dict, description="configuration of the offline store's Spark session"
    )
    registry: str | None = Field(
        None,
        description="Feast's registry, as postgresql+psycopg://user:password@host/database; "
        "default: sqlite in the workspace",
    )
    push_log: str | None = Field(
        None, description="database of pushed events, likewise; default: sqlite in the workspace"
    )
    project: str | None = Field(
        None,
        pattern="^[a-z][a-z0-9_]{0,40}$",
        description="name under which servers keep this workspace apart; default: a name of its "
        "own. Whoever shares it shares what is online",
    )

    @field_validator("redis_url")
    @classmethod
    def _redis(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("redis://", "rediss://")):
            raise ValueError("this is no address of a Redis; write redis://host:6379/0")
        return value

    _addresses = field_validator("registry", "push_log")(_database)
    _secrets = field_serializer("tracking_uri", "redis_url", "registry", "push_log")(_hidden)

    @model_validator(mode="after")
    def _redis_is_named(self) -> StoreSettings:
        if self.online.endswith("redis") and self.redis_url is None:
            raise ValueError(
                f"stores.online = {self.online} needs stores.redis_url; set it, as in "
                "redis://127.0.0.1:6379/0"
            )
        return self


Scope = Literal["score", "push", "admin"]
"""What a key is for: answers, events, or everything with the server's state."""


class ApiKey(Section):
    """A key of the endpoint, by its digest."""

    sha256: str = Field(description="SHA-256 of the key in hex; `lifecycle key` makes one")
    scopes: tuple[Scope, ...] = Field(("score",), min_length=1, description="what it is for")

    @field_validator("sha256")
    @classmethod
    def _hex_digest(cls, value: str) -> str:
        if not re.fullmatch("[0-9a-f]{64}", value.lower()):
            raise ValueError("this is no SHA-256 in 64 hex digits; `lifecycle key NAME` makes one")
        return value.lower()


class ServingSettings(Section):
    """The endpoint and the advice that it gives."""

    api_keys: dict[str, ApiKey] = Field(
        default_factory=dict,
        description="accepted keys by name, each with sha256 and scopes (score, push, admin); "
        "none: loopback only, where everything is allowed",
    )
    requests_per_second: float | None = Field(
        None, gt=0, description="most requests of one key in a second and worker; default: no limit"
    )
    concurrent_requests: int = Field(
        64, ge=1, le=10_000, description="most requests that a worker takes on at once"
    )
    timeout_seconds: float = Field(
        10.0, ge=0.1, le=25.0, description="after which the work on a request is stopped"
    )
    stale_days: int = Field(
        7, ge=0, description="age from which features that are online are called stale"
    )
    access_log: bool = Field(True, description="a line of JSON for each request, on standard error")
    record_decisions: bool = Field(
        True, description="keep what every answer followed from, for `lifecycle replay`"
    )
    decision_days: int = Field(400, ge=1, description="days for which that is kept")
    consent_unknown: Literal["refuse", "plan"] = Field(
        "refuse", description="marketing to customers of unknown consent: refuse, or plan only"
    )
    playbook: Path | None = Field(None, description="playbook file; default: the one shipped")
    language: Literal["en", "zh"] = Field(
        "en", description="of answers and scores that ask for none: English or Chinese"
    )
    vocabulary: Literal[
        "stages", "four_way", "acquisition_retention", "relationship", "journey"
    ] = Field("stages", description="whose words stages are told in, likewise")
    stage_rules: Path | None = Field(
        None, description="file of the stages' rules; default: the one shipped"
    )


class PlanSettings(Section):
    """How a plan is made."""

    most_held_out: float = Field(
        0.2,
        ge=0,
        le=0.5,
        description="largest share of an action's customers that is held out as its control group; "
        "0 holds nobody out",
    )


class MonitoringSettings(Section):
    """How much a watch over data and predictions may cry wolf, and whom it calls."""

    false_alarms_a_year: float = Field(
        0.5, gt=0, le=52, description="false alarms of all checks together that a year may expect"
    )
    runs_a_year: int = Field(
        52, ge=1, le=366, description="how often `lifecycle watch` is run in a year"
    )
    history_weeks: int = Field(
        104, ge=26, le=520, description="most weeks of the past that a week is compared with"
    )
    webhook: str | None = Field(
        None,
        repr=False,
        description="address that alarms are posted to as JSON; whoever knows it can post, so it "
        "is shown nowhere",
    )
    webhook_seconds: float = Field(
        5.0, ge=0.1, le=60, description="how long it may take to answer, each of three times"
    )

    @field_validator("webhook")
    @classmethod
    def _web(cls, value: str | None) -> str | None:
        if value is not None and not re.match("https?://[^/]", value):
            raise ValueError("this is no address of a webhook; write https://host/path")
        return value

    @field_serializer("webhook")
    def _secret(self, value: str | None) -> str | None:
        return None if value is None else _HIDDEN


class PrivacySettings(Section):
    """Who is left out, and how long what is held of persons is kept (`lifecycle retain`)."""

    objection_column: str | None = Field(
        None,
        description="column of customers that says yes where one objected to profiling: they are "
        "neither learned from nor scored, planned for or answered about",
    )

    keep_scores_days: int | None = Field(
        None, ge=1, description="days of batch scores and segments, but the newest; default: all"
    )
    keep_plans_days: int | None = Field(
        None, ge=90, description="days after its own for which a plan is kept; default: for ever"
    )
    keep_features_days: int | None = Field(
        None,
        ge=1,
        description="days of snapshots; a training computes again what it needs; default: all",
    )
    keep_quarantine_days: int | None = Field(
        None,
        ge=1,
        description="days for which rows that could not be read are kept as they were; default: "
        "for ever",
    )
    keep_inactive_days: int | None = Field(
        None,
        ge=30,
        description="days without an order, an interaction, a term or a registration, by the last "
        "day of the data, after which a person is erased; default: for ever",
    )


class RunSettings(Section):
    """What `lifecycle run` does, and how often."""

    retrain_days: int = Field(
        28, ge=1, description="train again when the newest version is so many days old"
    )
    retrain_on_alarm: bool = Field(
        True, description="train also when monitoring says that the model is wrong now"
    )
    reasons: Literal["fast", "exact", "none"] = Field(
        "fast", description="of the scores; exact ones take long for many customers"
    )
    deliver_to: str | None = Field(
        None,
        description="postgresql://user@host/database, or a Parquet or CSV file, that scores are "
        "sent to as well",
    )
    plan: bool = Field(
        False,
        description="plan actions each time, as campaign run-DAY; whoever is in a plan waits for "
        "the next, so let something carry it out",
    )
    budget: float | None = Field(None, ge=0, description="of such a plan; default: no limit")
    plan_days: int = Field(7, ge=1, le=366, description="in how many days it is carried out")
    plan_to: Path | None = Field(
        None, description="Parquet or CSV file of those to be treated, for the system that does it"
    )
    plan_mapping: Path | None = Field(
        None, description="YAML file of that file's columns; zoho_crm and fxiaoke are shipped"
    )
    period: Literal["week", "month", "quarter"] = Field(
        "month", description="what the lifecycle report compares"
    )
    expected_delay_days: int | None = Field(
        None,
        ge=0,
        description="how old the newest data may be: beyond it their absence is watched; default: "
        "the data's last day counts as today",
    )
    wait_minutes: float = Field(
        10, ge=0, description="how long it waits for another command that writes in the workspace"
    )

    _secret = field_serializer("deliver_to")(_hidden)


class Settings(Section):
    """Everything that can be set, in sections."""

    data: DataSettings = DataSettings()
    churn: ChurnSettings = ChurnSettings()
    value: ValueSettings = ValueSettings()
    features: FeatureSettings = FeatureSettings()
    training: TrainingSettings = TrainingSettings()
    gate: GateSettings = GateSettings()
    stores: StoreSettings = StoreSettings()
    serving: ServingSettings = ServingSettings()
    plan: PlanSettings = PlanSettings()
    privacy: PrivacySettings = PrivacySettings()
    monitoring: MonitoringSettings = MonitoringSettings()
    run: RunSettings = RunSettings()

    @classmethod
    def load(
        cls,
        file: Path | None = None,
        environment: Mapping[str, str] | None = None,
        overrides: Mapping[str, Any] | None = None,
    ) -> Settings:
        """Read the settings from a file, then the environment, then ``overrides``.

        Raises
        ------
        InputError
            The file is unreadable, a key is unknown or a value is out of range; the message names
            the key, the value and the place.
        """
        merged: dict[str, Any] = {}
        for place, layer in (
            (str(file), _beside(file, _read_file(file))),
            ("the environment", read_environment(environment or {})),
            ("the command line", dict(overrides or {})),
        ):
            merged = _merge(merged, layer)
            try:
                settings = cls.model_validate(merged)
            except ValidationError as error:
                raise InputError(_explain(error, place)) from None
        return settings


def settings_file(workspace: Path, environment: Mapping[str, str] | None = None) -> Path | None:
    """Find the settings file: ``LIFECYCLE_SETTINGS``, the workspace's, the current folder's."""
    named = (environment if environment is not None else os.environ).get("LIFECYCLE_SETTINGS")
    if named:
        return Path(named)
    for candidate in (workspace / SETTINGS_FILE, Path(SETTINGS_FILE)):
        if candidate.is_file():
            return candidate
    return None


def _read_file(file: Path | None) -> dict[str, Any]:
    if file is None:
        return {}
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(
            f"settings file {file} does not exist; name another with --settings"
        ) from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"settings file {file} cannot be read as YAML: {error}") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise InputError(f"settings file {file} must hold keys and values, not {content!r}")
    return content


def _beside(file: Path | None, layer: dict[str, Any]) -> dict[str, Any]:
    """Read the paths in a settings file as relative to that file, wherever a verb is started."""
    for section, key in _PATHS:
        values = layer.get(section)
        if file is not None and isinstance(values, dict) and isinstance(values.get(key), str):
            values[key] = str(file.resolve().parent / values[key])
    return layer


def _merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        if isinstance(value, Mapping) and isinstance(merged.get(key), Mapping):
            merged[key] = _merge(merged[key], value)
        else:
            merged[key] = value
    return merged


def _explain(error: ValidationError, place: str) -> str:
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"unknown setting {key} in {place}; `lifecycle settings` lists those that exist"
    said = first["msg"].removeprefix("Value error, ")
    reason = said[0].lower() + said[1:]
    given = without_password(repr(first["input"]))
    if key in _SECRET or (key in _ADDRESSES and "://" not in given):
        given = _HIDDEN
    if first["type"] == "value_error" and not isinstance(first["input"], str | int | float):
        return f"setting {key}: {reason}; correct it in {place}"
    return f"setting {key} = {given}: {reason}; correct it in {place}"
