"""The one scorer: batch and endpoint ask it, so that they cannot disagree."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features import catalogue
from features.days import day_number, day_of
from features.settings import ServingSettings
from serving.action_words import ActionWords
from serving.actions import UNKNOWN as UNKNOWN_CONSENT
from serving.actions import Choices, Menu, Ranked, Standing, choose
from serving.bands import BANDS, UNKNOWN, risk_band, value_band
from serving.customer_value import CustomerValue, value_at_risk
from serving.decisions.archive import Kept
from serving.done import Done
from serving.named_offers import NOTHING, Codes, NamedOffers
from serving.playbook import SHIPPED as PLAYBOOK
from serving.playbook import Playbook, load_playbook
from serving.reasons import Reasons, explain
from serving.rescue import judge_rescue
from serving.segments import Admission
from serving.sentences import LANGUAGES, Language
from serving.teller import Teller
from training.bundle import Predictions, Rows, ScorerBundle
from training.profit import profit_to_date
from training.registry import Registry, ScorerVersion
from training.stage_rules import SHIPPED as STAGE_RULES
from training.stage_rules import StageRules, load_stage_rules
from training.stages import STAGES, Vocabulary, stage_labels
from training.staging import NOT_BEFORE, CompanyStages

Float = NDArray[np.float64]

_POSITION = {name: place for place, name in enumerate(catalogue.NAMES)}


@dataclass(frozen=True)
class Scores:
    """Answers for some customers, every array of shape (n,).

    Attributes
    ----------
    as_of_day
        Day of each customer's features, since 1970-01-01; a row's own, never a clock's.
    stage
        Index into :data:`training.stages.STAGES`.
    before
        Stage in earlier scores, such an index; below zero where none is known.
    stage_rule
        Which clause of the stage rules put the customer there; index into
        :attr:`Scorer.stage_texts`.
    risk, value
        Bands, indices into :data:`serving.bands.BANDS`; below zero where there is none: who never
        bought has no purchases to stop.
    offers
        What the actions that name something would offer each customer, by their places in the
        playbook; indices into what :class:`serving.named_offers.NamedOffers` can offer.
    customer_value
        What the customers are to the company: profit to date, tier, and whether to rescue them.
    reasons
        Up to three sentences a customer, in ``language`` as the rule of the stage is.
    reasons_method
        How they were found: ``fast`` (approximate), ``exact``, or ``none`` where none were asked.
    one_order
        Bought on one day only: nearly all that is said comes from the prior.
    in_sample
        The day lies before the end of the labels that the model learned from.
    """

    as_of_day: NDArray[np.int64]
    predictions: Predictions
    stage: NDArray[np.int8]
    before: NDArray[np.int8]
    stage_rule: NDArray[np.int8]
    risk: NDArray[np.int8]
    value: NDArray[np.int8]
    choices: Choices
    offers: Mapping[int, Codes]
    customer_value: CustomerValue
    reasons: list[list[str]]
    reasons_method: Reasons
    language: Language
    one_order: NDArray[np.bool_]
    in_sample: NDArray[np.bool_]

    @property
    def offered(self) -> Codes:
        """What the chosen actions offer; below zero where they name nothing."""
        chosen = self.choices.action_index
        codes = np.full(len(chosen), NOTHING, dtype=np.int16)
        for place, offered in self.offers.items():
            codes = np.where(chosen == place + 1, offered, codes)
        return codes


class Scorer:
    """A champion's bundle, the playbook and the stages' rules, ready to answer.

    Parameters
    ----------
    bundle
        Models and everything fitted with them.
    model_version
        The registry's version of the bundle, told in every answer.
    playbook
        What may be done.
    stage_rules
        Who is in which stage.
    serving
        How unknown consent is treated.
    """

    def __init__(
        self,
        bundle: ScorerBundle,
        model_version: int,
        playbook: Playbook,
        stage_rules: StageRules,
        serving: ServingSettings,
    ) -> None:
        self.bundle = bundle
        self.model_version = model_version
        self._menu = Menu.of(playbook, bundle.lifts)
        self._admission = Admission.of(
            [action.segments for action in playbook.actions], bundle.vocabulary
        )
        self._segment_facts = self._admission.facts
        self._done = Done(self._menu.keys)
        self._offers = NamedOffers.of(playbook, bundle.affinity)
        self.words: dict[Language, ActionWords] = {
            language: ActionWords.of(playbook, self._offers, language) for language in LANGUAGES
        }
        self.playbook_version = playbook.version
        self._stages = CompanyStages(stage_rules, bundle.thresholds)
        self.stage_rules_version = stage_rules.version
        self.consent_unknown = serving.consent_unknown
        self._serving = serving

    @classmethod
    def of(
        cls,
        registry: Registry,
        version: ScorerVersion,
        serving: ServingSettings,
        sensitive: Collection[str] = (),
    ) -> Scorer:
        """Load a registered version.

        Parameters
        ----------
        sensitive
            Attributes on which no action may depend (``data.sensitive_attributes``).

        Raises
        ------
        WorkspaceError
            Its files are damaged.
        InputError
            The playbook or the stages' rules cannot be read.
        """
        return cls(
            registry.load(version),
            version.version,
            load_playbook(serving.playbook, sensitive),
            load_stage_rules(serving.stage_rules),
            serving,
        )

    @classmethod
    def champion(
        cls, registry: Registry, serving: ServingSettings, sensitive: Collection[str] = ()
    ) -> Scorer:
        """Load the version that answers now.

        Raises
        ------
        WorkspaceError
            None has been promoted, or its files are damaged.
        InputError
            The playbook or the stages' rules cannot be read.
        """
        return cls.of(registry, registry.require_champion(), serving, sensitive)

    def ruled_by(self, playbook: Playbook, stage_rules: StageRules) -> Scorer:
        """Make a scorer of the same models with other files."""
        return Scorer(self.bundle, self.model_version, playbook, stage_rules, self._serving)

    @cached_property
    def stage_texts(self) -> dict[Language, tuple[str, ...]]:
        """The rules of the stages in words, with this company's numbers."""
        return {language: self._stages.told(language) for language in LANGUAGES}

    def score(
        self,
        matrix: Float,
        threads: int = 1,
        reasons: Reasons = "fast",
        language: Language = "en",
        before: NDArray[np.int8] | None = None,
    ) -> Scores:
        """Answer for rows of features in the catalogue's order, NaN where unknown.

        Parameters
        ----------
        before
            Each customer's stage in the newest scores of an earlier day, an index into
            :data:`training.stages.STAGES`; below zero, or None for all, where there are none.
        """
        if before is None:
            before = np.full(len(matrix), NOT_BEFORE, np.int8)
        rows = self.bundle.read(matrix, threads, reasons == "fast")
        predictions = self.bundle.predict_read(rows, threads)
        staged = self._stages.assign(self._asked(matrix, predictions), before)
        # Who never bought has no purchases to stop.
        risk = np.where(
            predictions.prospect,
            np.int8(UNKNOWN),
            risk_band(predictions.churn_probability, self.bundle.thresholds),
        )
        bundle = self.bundle
        value = value_band(predictions.clv_12m, bundle.thresholds)
        profit = profit_to_date(bundle.terms, bundle.thresholds.silent_days, matrix)
        tier = bundle.tiers.of(predictions.clv_12m, profit.total, predictions.prospect)
        choices = choose(
            self._menu,
            staged.stage,
            predictions.churn_probability,
            predictions.spend_if_purchase,
            predictions.spend_if_none,
            margin=bundle.terms.margin,
            consent=np.nan_to_num(_fact(matrix, "marketing_consent"), nan=UNKNOWN_CONSENT),
            consent_unknown=self.consent_unknown,
            available_data=bundle.data_available,
            standing=self._standing(matrix),
            admitted=self._admitted(
                matrix,
                predictions,
                {
                    "risk_band": risk,
                    "value_band": value,
                    "value_tier": tier,
                    "profit_to_date": profit.total,
                },
            ),
            facts=self._moderators(matrix),
        )
        as_of_day = _fact(matrix, "as_of_day").astype(np.int64)
        return Scores(
            as_of_day,
            predictions,
            staged.stage,
            before,
            staged.rule,
            risk,
            value,
            choices,
            self._offers.codes(matrix, tier),
            CustomerValue(
                profit, tier, value_at_risk(predictions), judge_rescue(staged.stage, choices)
            ),
            self._reasons(rows, threads, reasons, language),
            reasons,
            language,
            _fact(matrix, "purchase_days") == 1,
            as_of_day < day_number(self.bundle.as_of),
        )

    def _asked(self, matrix: Float, predictions: Predictions) -> dict[str, Float]:
        """Gather what the stages' rules speak of."""
        said = {
            "churn_probability": predictions.churn_probability,
            "expected_spend": predictions.expected_spend,
            "annual_value": predictions.clv_12m,
        }
        return {
            name: said[name] if name in said else matrix[:, _POSITION[name]]
            for name in self._stages.asked
        }

    def _admitted(
        self, matrix: Float, predictions: Predictions, fitted: Mapping[str, NDArray[Any]]
    ) -> NDArray[np.bool_] | None:
        """Ask the playbook's segments, for the facts that they name."""
        if not self._segment_facts:
            return None
        told = {**fitted, **predictions.numbers()}
        facts = {n: told[n] if n in told else _fact(matrix, n) for n in self._segment_facts}
        return self._admission.admitted(facts, len(matrix))

    def _moderators(self, matrix: Float) -> Float | None:
        """Read what sets customers' effects apart, where anything does."""
        evidence = self._menu.evidence
        return evidence.moderators.of(matrix, catalogue.NAMES) if evidence.differs else None

    def _standing(self, matrix: Float) -> Standing:
        """Read what stands between customers and actions out of their facts."""
        return Standing(
            _fact(matrix, "complaint_open") > 0,
            _fact(matrix, "checkout_90d") > np.nan_to_num(_fact(matrix, "payment_90d")),
            *self._done.read(matrix),
        )

    def _reasons(
        self, rows: Rows, threads: int, reasons: Reasons, language: Language
    ) -> list[list[str]]:
        if reasons == "none":
            # One list for all: twenty thousand of them wake the collector of garbage.
            return [[]] * len(rows.matrix)
        found = self.bundle.attribute_read(rows, reasons, threads)
        return explain(rows.matrix, found.contributions, rows.prospect, self._tellers[language])

    @cached_property
    def _tellers(self) -> dict[Language, Teller]:
        bundle = self.bundle
        return {
            language: Teller(language, bundle.vocabulary, bundle.middle.usual, bundle.currency)
            for language in LANGUAGES
        }

    def answers(self, scores: Scores, vocabulary: Vocabulary = "stages") -> list[dict[str, Any]]:
        """Spell out each customer's answer as the endpoint gives it.

        Parameters
        ----------
        vocabulary
            Whose words the stages are told in, beside our own.
        """
        chosen = scores.choices
        flags = zip(
            scores.predictions.prospect.tolist(),
            scores.one_order.tolist(),
            scores.in_sample.tolist(),
            strict=True,
        )
        stages = scores.stage.tolist()
        texts = self.stage_texts[scores.language]
        words = self.words[scores.language]
        offered = scores.offered.tolist()
        labels = stage_labels(vocabulary, scores.language)
        columns: dict[str, list[Any]] = {
            "as_of": [day_of(day).isoformat() for day in scores.as_of_day.tolist()],
            **{name: values.tolist() for name, values in scores.predictions.numbers().items()},
            "lifecycle_stage": [STAGES[stage] for stage in stages],
            "stage_label": [labels[stage] for stage in stages],
            "stage_before": [
                STAGES[stage] if stage >= 0 else None for stage in scores.before.tolist()
            ],
            "stage_rule": [texts[rule] for rule in scores.stage_rule.tolist()],
            "risk_band": [_band(code) for code in scores.risk.tolist()],
            "value_band": [_band(code) for code in scores.value.tolist()],
            **scores.customer_value.answers(chosen.keys),
            "reasons": scores.reasons,
            "reasons_method": [scores.reasons_method] * len(stages),
            "action": chosen.action.tolist(),
            "action_name": [words.names[place] for place in chosen.action_index.tolist()],
            "action_offer": [words.offers[code] for code in offered],
            "action_offer_why": [words.whys[code] for code in offered],
            "action_value": chosen.action_value.tolist(),
            "action_value_low": chosen.action_value_low.tolist(),
            "action_value_high": chosen.action_value_high.tolist(),
            "action_effect": chosen.provenance.tolist(),
            "action_measured_share": chosen.measured_share[chosen.action_index].tolist(),
            "action_note": [words.notes[note] for note in chosen.note_index.tolist()],
            "actions": [
                [self._ranked(one, row, scores.offers, words) for one in best]
                for row, best in enumerate(chosen.ranking())
            ],
            "flags": [self.flags(*flag) for flag in flags],
        }
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]

    def _ranked(
        self, ranked: Ranked, row: int, offers: Mapping[int, Codes], words: ActionWords
    ) -> dict[str, Any]:
        place = self._menu.places[ranked.action]
        offered = words.offers[offers[place][row]] if place in offers else None
        return {**ranked._asdict(), "name": words.names[place + 1], "offer": offered}

    def versions(self) -> dict[str, Any]:
        """What answered: model, its kind and day, feature service, playbook, stages' rules."""
        return {
            "model": self.model_version,
            "model_kind": self.bundle.kind,
            "trained_as_of": self.bundle.as_of.isoformat(),
            "horizon_days": self.bundle.horizon_days,
            "feature_service": self.bundle.feature_service,
            "playbook": self.playbook_version,
            "stage_rules": self.stage_rules_version,
            "currency": self.bundle.currency,
        }

    def files(self, serving: ServingSettings) -> list[tuple[Kept, str, Path]]:
        """List the files that answers follow from, each with its kind and version."""
        return [
            ("playbooks", self.playbook_version, serving.playbook or PLAYBOOK),
            ("stage_rules", self.stage_rules_version, serving.stage_rules or STAGE_RULES),
        ]

    @property
    def deciders(self) -> str:
        """Everything but a customer's facts that an answer follows from; part of decision ids."""
        bundle = self.bundle
        return (
            f"model {self.model_version} of {bundle.as_of} by {bundle.feature_service}, "
            f"playbook {self.playbook_version}, stages by {self.stage_rules_version}, "
            f"consent unknown: {self.consent_unknown}"
        )

    def flags(self, prospect: bool, one_order: bool, in_sample: bool) -> list[str]:
        """Name what is to be kept in mind of a customer's answer."""
        flags = ["prospect"] if prospect else []
        if one_order:
            flags.append("one_order")
        if in_sample:
            flags.append("in_sample")
        return flags + [f"clv_{months}m_extrapolated" for months in self.bundle.extrapolated]


def _fact(matrix: Float, name: str) -> Float:
    values: Float = matrix[:, _POSITION[name]]
    return values


def _band(code: int) -> str | None:
    return BANDS[code] if code >= 0 else None
