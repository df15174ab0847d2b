"""From snapshots to a scorer: retrieve, label, learn, judge, bundle."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from features.catalogue import CATEGORIES, FEATURES, JOIN_KEY, SERVICES
from features.matrix import Vocabulary, matrix_of
from features.settings import Settings
from training.adjustment import Predicted, adjust
from training.affinity import Affinity
from training.attribution import Middle
from training.bundle import ScorerBundle
from training.calendar import Calendar
from training.contest import Contest, hold
from training.dataset import LabelledDay, label_days
from training.evaluation import Evaluation, evaluate, evaluate_prospects
from training.population import StageThresholds, active_customers, fit_thresholds
from training.prior import Prior, column
from training.prospects import Conversion, NeverBought
from training.recipe import Learned, Recipe, Say, Trees, check_enough, judge_days, learn, search
from training.renewals import Learned as LearnedRenewals
from training.renewals import Renewals, labelled, learn_renewals
from training.stage_rules import load_stage_rules
from training.tiers import ValueTiers
from training.tracking.training import Training, sample_of
from training.training_set import TrainingSet
from training.trees import Machine
from training.tuning.studies import Studies
from training.value import YEAR_DAYS, ValueTerms

Float = NDArray[np.float64]

UNFITTED = StageThresholds(*[float("nan")] * 7)
NO_TIERS = ValueTiers((float("nan"),) * 3)


def train(
    calendar: Calendar,
    training_set: TrainingSet,
    today: pa.Table,
    orders: Path,
    history_from: date,
    settings: Settings,
    fingerprint: str,
    say: Say,
    studies: Studies | None = None,
    contracts: Path | None = None,
) -> Training:
    """Learn a scorer from what was known by the calendar's day.

    Parameters
    ----------
    training_set
        Features of every known customer on every matured day, from the feature store.
    today
        The same on the day of the training: what "usual" means is fitted there.
    orders
        The ledger's Parquet file, for the outcomes.
    say
        Told of progress: what, done, of.
    studies
        Where tuning is kept, so that it can be gone on with; by default nowhere.
    contracts
        The ledger's Parquet file, if there is one: whoever is in it is judged by renewals.

    Raises
    ------
    NotEnoughData
        Too few customers or outcomes.
    """
    # L-BFGS calls BLAS on four numbers at a time: its threads waited for each other for thirty
    # times as long as a fit takes.
    with threadpool_limits(limits=1, user_api="blas"):
        vocabulary = Vocabulary.fit(training_set.columns([JOIN_KEY, *CATEGORIES]))
        days, never = label_days(
            training_set, vocabulary, orders, calendar.horizon_days, calendar.as_of
        )
        # Whoever was known in a ledger's first days converts unlike those of later ones.
        never = [one for one in never if one.as_of in calendar.matured]
        machine = Machine(settings.training.seed, settings.training.threads)
        learned = learn(calendar, days, settings.training.trials, machine, say, studies)
        say("judging", 0, 1)
        learned, contests, evaluation, trusted = served(learned, days, never, settings)
        say("judging", 1, 1)
        renewals = _renewals(days, matrix_of(today, vocabulary), contracts, calendar, settings, say)
        if renewals is not None and evaluation is not None:
            evaluation = replace(evaluation, renewals=renewals.quality)
        bundle = replace(
            _bundle(
                learned,
                trusted,
                never,
                vocabulary,
                today,
                history_from,
                settings,
                None if renewals is None else renewals.renewals,
            ),
            affinity=Affinity.known(orders, calendar.as_of),
        )
    customers, sample = sample_of(today, settings.training.seed)
    return Training(
        bundle=bundle,
        learned=learned,
        evaluation=evaluation,
        contests=contests,
        days=tuple(days),
        fingerprint=fingerprint,
        rows=training_set.rows,
        customers=customers,
        today=sample,
    )


def _renewals(
    days: list[LabelledDay],
    today: Float,
    contracts: Path | None,
    calendar: Calendar,
    settings: Settings,
    say: Say,
) -> LearnedRenewals | None:
    """Learn from the customers under contract, where there are any."""
    if contracts is None:
        return None
    grace, machine = (
        settings.churn.grace_days,
        Machine(settings.training.seed, settings.training.threads),
    )
    held = labelled(days, contracts, grace, calendar.horizon_days, calendar.as_of)
    return learn_renewals(held, today, calendar, grace, machine, say)


def served(
    learned: Learned, days: list[LabelledDay], never: list[NeverBought], settings: Settings
) -> tuple[Learned, tuple[Contest, ...], Evaluation | None, bool]:
    """Judge what was learned; where the trees lost to a baseline, judge the prior, which answers.

    Returns
    -------
    learned
        With the judged days of what answers.
    contests, evaluation
        Of the same; none and None with too little history to judge.
    trusted
        Whether the trees answer.
    """
    contests = _contests(learned, days, settings)
    evaluation = _evaluated(contests, never, learned.calendar, settings)
    has_trees = learned.trees.churn is not None
    if not learned.judged_trees or evaluation is None or evaluation.beats_baselines:
        return learned, contests, evaluation, has_trees
    pool = [Predicted.bare(predicted.day) for predicted in learned.pool]
    judged = tuple(judge_days(learned.calendar, learned.outcomes, pool, trees=False))
    learned = replace(learned, judged=judged)
    contests = _contests(learned, days, settings)
    return learned, contests, _evaluated(contests, never, learned.calendar, settings), False


def _contests(learned: Learned, days: list[LabelledDay], settings: Settings) -> tuple[Contest, ...]:
    calendar = learned.calendar
    rules = load_stage_rules(settings.serving.stage_rules)
    return tuple(
        hold(
            judged,
            [d for d in days if d.as_of in calendar.before(judged.day.as_of)],
            calendar.horizon_days,
            rules,
            settings.churn.silent_days,
            settings.churn.activation_days,
        )
        for judged in learned.judged
    )


def join(
    calendar: Calendar,
    training_set: TrainingSet,
    orders: Path,
    settings: Settings,
    say: Say,
    studies: Studies,
) -> Recipe:
    """Run trials of a training that another process has started, as :func:`train` would.

    Raises
    ------
    InputError
        No training has begun a study of these data and settings.
    """
    with threadpool_limits(limits=1, user_api="blas"):
        vocabulary = Vocabulary.fit(training_set.columns([JOIN_KEY, *CATEGORIES]))
        days, _ = label_days(
            training_set, vocabulary, orders, calendar.horizon_days, calendar.as_of
        )
        machine = Machine(settings.training.seed, settings.training.threads)
        by_day = {d.as_of: d for d in days}
        check_enough(by_day.get(calendar.evaluation), calendar)
        return search(calendar, by_day, settings.training.trials, machine, say, studies)


def _evaluated(
    contests: tuple[Contest, ...],
    never: list[NeverBought],
    calendar: Calendar,
    settings: Settings,
) -> Evaluation | None:
    if not contests:
        return None
    newest = contests[-1].day
    prospects = evaluate_prospects(
        next(n for n in never if n.as_of == newest),
        [n for n in never if n.as_of in calendar.before(newest)],
        calendar.horizon_days,
    )
    return evaluate(contests, prospects, seed=settings.training.seed)


def _bundle(
    learned: Learned,
    trusted: bool,
    never: list[NeverBought],
    vocabulary: Vocabulary,
    today: pa.Table,
    history_from: date,
    settings: Settings,
    renewals: Renewals | None = None,
) -> ScorerBundle:
    calendar = learned.calendar
    everyone = matrix_of(today, vocabulary)
    buyers = everyone[column(everyone, "purchases") > 0]
    prior = Prior.fit(buyers)
    bundle = ScorerBundle(
        kind="lightgbm" if trusted else "btyd",
        as_of=calendar.as_of,
        history_from=history_from,
        horizon_days=calendar.horizon_days,
        feature_service=SERVICES["scorer"],
        vocabulary=vocabulary,
        prior=prior,
        trees=learned.trees if trusted else Trees(),
        adjustment=adjust(learned.pool, learned.outcomes, calendar, calendar.as_of, trees=trusted),
        thresholds=UNFITTED,
        middle=Middle.of(buyers, calendar.horizon_days),
        conversion=Conversion.fit(never, calendar.horizon_days, prior.mean_order_value),
        terms=ValueTerms(
            settings.value.margin,
            settings.value.discount_rate_yearly,
            settings.value.service_cost_yearly,
            settings.value.marketing_cost_yearly,
            settings.value.complaint_loss,
            settings.value.service_saved_yearly,
            settings.value.experienced_days / YEAR_DAYS,
        ),
        tiers=NO_TIERS,
        currency=settings.data.currency,
        data_available=_available(everyone),
        renewals=renewals,
    )
    said = bundle.predict(buyers, settings.training.threads)
    thresholds = fit_thresholds(
        buyers,
        said.churn_probability,
        said.clv_12m,
        calendar.horizon_days,
        settings.churn.silent_days,
        settings.churn.activation_days,
        settings.churn.grace_days,
    )
    active = active_customers(buyers, thresholds.silent_days)
    tiers = ValueTiers.fit(said.clv_12m[active])
    return replace(bundle, thresholds=thresholds, tiers=tiers)


def _available(everyone: Float) -> frozenset[str]:
    """Name the tables that say anything of anyone, and ``category`` where orders name one."""
    said = np.flatnonzero(np.isfinite(everyone).any(axis=0))
    tables = {FEATURES[place].table for place in said}
    categories = {"category"} if np.isfinite(column(everyone, "categories")).any() else set()
    return frozenset(tables | categories)
