"""The handbook says to a team, in their language, all that the playbook and the stages say."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from conftest import run, succeed

from pipelines.handbook_content import LIFE, Handbook, handbook, load_words
from pipelines.handbook_page import handbook_markdown, handbook_page
from serving.playbook import NEEDS, SHIPPED, Playbook, load_playbook
from serving.segments import BANDED, PREDICTED
from serving.sentences import LANGUAGES, Language
from training.stage_rules import load_stage_rules
from training.stages import STAGES
from training.uplift.curves import Estimate
from training.uplift.lift import Lift
from training.uplift.lifts import Lifts, Tried

LATIN = re.compile(r"[A-Za-z]{2,}")


def edited(folder: Path) -> Playbook:
    """Say all that a playbook can of one action."""
    text = SHIPPED.read_text(encoding="utf-8")
    more = """  - key: retention_offer
    segments:
      risk_band: [high, mid]
      value_tier: [gold]
      clv_12m: {at_least: 50}
      purchases: {at_least: 2, below: 9}
    only_after: [cadence_reminder]
    capacity: {contacts: 1500, per: month}
    names: tier
"""
    text = text.replace("  - key: retention_offer\n", more)
    head, _, tail = text.partition(more)
    file = folder / "mine.yaml"
    file.write_text(head + more + tail.replace("    capacity: null\n", "", 1), encoding="utf-8")
    return load_playbook(file)


def made(language: Language, playbook: Playbook) -> Handbook:
    return handbook(playbook, load_stage_rules(), "EUR", language)


def test_both_languages_have_words_for_the_same_and_for_every_stage():
    english, chinese = (load_words(language) for language in LANGUAGES)
    assert english.keys() == chinese.keys()
    for name, entry in english.items():
        if isinstance(entry, dict):
            assert entry.keys() == chinese[name].keys(), name
        elif isinstance(entry, str):
            assert len({(*sorted(re.findall(r"\{\w+\}", t)),) for t in (entry, chinese[name])}) == 1
    assert sorted(LIFE) == sorted(STAGES)
    assert set(english["facts"]) == {*BANDED, *PREDICTED}
    assert set(english["needed"]) == set(NEEDS)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_stage_has_its_rule_standard_and_actions(language: Language, tmp_path: Path):
    playbook = edited(tmp_path)
    book = made(language, playbook)
    page, text = handbook_page(book), handbook_markdown(book)
    for entry in book.stages:
        ours = [a for a in playbook.actions if entry.key in a.stages]
        assert [action.key for action in entry.actions] == [a.key for a in ours]
        assert entry.standard == getattr(playbook.service_standards[entry.key], language)
        assert entry.who
        for line in (*entry.who, entry.standard, *(a.name for a in entry.actions)):
            assert line in text
            assert line.replace("'", "&#x27;") in page
    assert "http" not in page, "it needs nothing from the network"


def test_an_action_is_told_with_all_that_decides_about_it(tmp_path: Path):
    (entry,) = [s for s in made("en", edited(tmp_path)).stages if s.key == "declining"]
    (offer,) = [action for action in entry.actions if action.key == "retention_offer"]
    assert dict(offer.lines) == {
        "Channel": "e-mail",
        "Cost": "0.03 EUR a contact",
        "Offer": "10% of the order, which 50% of the buyers redeem",
        "Effect on buying (assumed)": "of 1,000 customers of whom 200 would buy, 262 do "
        "(192 to 313)",
        "Effect on spend (assumed)": "buyers' spend changes by 0% (-5% to +3%)",
        "Names": "silver, gold or diamond, by the customer's value",
        "Only for": "risk: middle, high; value tier: Gold; value over 12 months of at least 50; "
        "purchases of at least 2, below 9",
        "Only after": "Reminder at the customer's own cadence",
        "Pause": "60 days, 30 days after Second-purchase nudge, 60 days after Win-back offer",
        "At most": "1,500 a month",
    }
    assert dict(entry.actions[-1].lines) == {"Cost": load_words("en")["nothing"]}


def test_what_was_measured_stands_beside_what_is_assumed():
    # As sure as the playbook's own range: half of each.
    one = Lift(Estimate(0.05, 0.02), None, (), (), (), (0.5,), (80.0,))
    lifts = Lifts((Tried("up_sell", 900, 900, "measured", lift=one),))
    rules = load_stage_rules()
    for language, label in zip(
        LANGUAGES, ("Effect on net spend (measured)", "对净消费额的影响（实测）"), strict=True
    ):
        book = handbook(load_playbook(), rules, "EUR", language, lifts=lifts)
        told = {
            action.key: dict(action.lines)[label]
            for stage in book.stages
            for action in stage.actions
            if label in dict(action.lines)
        }
        assert told.keys() == {"up_sell"}
        assert re.findall(r"[+-]\d+%", told["up_sell"]) == ["+5%", "+2%", "+9%"]


def test_nothing_in_chinese_is_left_in_english(tmp_path: Path):
    book = made("zh", edited(tmp_path))
    said = {
        line for stage in book.stages for a in stage.actions for pair in a.lines for line in pair
    }
    said |= {stage.standard for stage in book.stages} | {book.lead, *book.words["always_rules"]}
    # A feature has no Chinese name, and a currency is written as it is.
    assert {word for line in said for word in LATIN.findall(line)} == {"EUR", "purchases"}


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_whole_and_its_contrast_is_that_of_print():
    page = handbook_page(made("en", load_playbook()))
    tags = _Tags()
    tags.feed(page)
    assert tags.open == []

    def light(colour: str) -> float:
        digits = colour if len(colour) == 6 else "".join(2 * digit for digit in colour)
        parts = [int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    for colours in re.findall(r":root \{([^}]*)\}", page):
        named = dict(re.findall(r"--(\w+):\s*#(\w+)", colours))
        for ink in ("ink", "soft", "mark", "service"):
            for ground in ("ground", "card"):
                low, high = sorted((light(named[ink]), light(named[ground])))
                # WCAG 2.2, enhanced: 7 to 1.
                assert (high + 0.05) / (low + 0.05) >= 7, (ink, ground)


def test_it_is_written_with_the_company_s_numbers_or_before_there_are_any(
    trained: dict[str, Any], tmp_path: Path
):
    page = tmp_path / "handbook.html"
    said = succeed(trained["workspace"], "handbook", "--out", page)
    assert said["model_version"] == 1
    assert "No purchase for more than 60 days." in page.read_text(encoding="utf-8")
    text = tmp_path / "handbook.md"
    before = succeed(tmp_path / "none", "handbook", "--lang", "zh", "--out", text)
    assert before["model_version"] is None
    assert "silent_days" in text.read_text(encoding="utf-8")
    refused = run(tmp_path / "none", "handbook", "--out", tmp_path / "handbook.pdf")
    assert refused.exit_code == 1
    assert "neither .html nor .md" in refused.output
