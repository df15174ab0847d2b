"""The playbook as a file: its schema, segments, pauses and the verb that checks it."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml
from conftest import run
from hypothesis import given, settings
from hypothesis import strategies as st

from features.edited import EditError
from features.errors import InputError
from features.matrix import Vocabulary
from serving.playbook import SHIPPED, Playbook, load_playbook
from serving.playbook_schema import SCHEMA_FILE, playbook_schema, schema_text
from serving.segments import MEANINGS, Admission

TEXT = SHIPPED.read_text(encoding="utf-8")
CONTENT: dict[str, Any] = yaml.safe_load(TEXT)
VALIDATOR = jsonschema_rs.validator_for(playbook_schema())


def edited(folder: Path, **changes: str) -> Path:
    """Write the shipped playbook with entries of some actions put in after their keys."""
    text = TEXT
    for key, entry in changes.items():
        assert f"  - key: {key}\n" in text
        text = text.replace(f"  - key: {key}\n", f"  - key: {key}\n    {entry}\n")
    file = folder / "mine.yaml"
    file.write_text(text, encoding="utf-8")
    return file


def line_after(key: str) -> int:
    return TEXT[: TEXT.index(f"  - key: {key}\n")].count("\n") + 2


def refusal(file: Path, **more: Any) -> EditError:
    with pytest.raises(EditError) as raised:
        load_playbook(file, **more)
    return raised.value


# --- the schema ---


def test_the_shipped_schema_is_that_of_the_models_and_named_in_the_shipped_playbook():
    assert SCHEMA_FILE.read_text(encoding="utf-8") == schema_text(), (
        "run `lifecycle playbook schema > serving/playbook.schema.json`"
    )
    assert TEXT.splitlines()[0] == f"# yaml-language-server: $schema={SCHEMA_FILE.name}"
    jsonschema_rs.meta.validate(playbook_schema())
    assert VALIDATOR.is_valid(CONTENT)


# Of every entry, something that it may not hold; of some, something that it may.
_ODD = st.sampled_from(
    yaml.safe_load("""
- null
- ""
- x
- marketing
- -1
- 0
- 0.5
- 7.5
- true
- []
- [new]
- [x]
- [contracts]
- {}
- {amount: 1}
- {share_of_order: 2}
- {contacts: 3, per: week}
- {contacts: 3, per: year}
- {trial: 5}
- {trial: 0}
- {low: 0, mid: 0, high: 6}
- {low: 0, mid: 0, high: 1}
- {risk_band: [high]}
- {risk_band: [dire]}
- {region: [x]}
- {region: []}
- {purchases: {below: 2}}
- {purchases: {}}
- {purchases: 3}
""")
)
_NAMES = sorted({name for action in CONTENT["actions"] for name in action} | {"segments", "x"})


@settings(max_examples=150)
@given(st.sampled_from(["content", "second_purchase_nudge"]), st.sampled_from(_NAMES), _ODD)
def test_the_schema_takes_and_refuses_what_the_models_do(key: str, name: str, value: Any):
    content = copy.deepcopy(CONTENT)
    (action,) = [one for one in content["actions"] if one["key"] == key]
    action[name] = value
    try:
        Playbook.model_validate(content)
        taken = True
    except ValueError as error:
        taken = False
        if re.search("used twice|no action", str(error)):
            return  # between entries: a schema cannot say it
    # Text is trimmed and a number may come as text in the models: the schema is stricter there.
    if taken and not VALIDATOR.is_valid(content):
        assert isinstance(value, bool | str) or value is None, (name, value)
        return
    assert VALIDATOR.is_valid(content) == taken, (name, value)


# --- mistakes ---


def test_all_mistakes_are_told_at_once_each_with_its_line(tmp_path: Path):
    text = TEXT.replace("contact_cost: 3.00", "contact_cost: -3").replace(
        "capacity: {contacts: 200, per: week}", "capacity: 200"
    )
    text = text.replace("stages: [churned]", "stages: [retired]").replace(
        "not_within: {retention_offer: 30}", "not_within: {retension_offer: 30}"
    )
    text = text.replace("key: trial", "key: content").replace("  loyal:\n", "  new:\n")
    file = tmp_path / "mine.yaml"
    file.write_text(text, encoding="utf-8")
    lines = text.splitlines()
    found = {(lines[one.line - 1].strip(), one.text) for one in refusal(file).mistakes}
    expected = [
        ("- key: content", "actions.key: the key content is used twice; rename one"),
        ("contact_cost: -3 ", "actions.contact_cost = -3: input should be greater than or equal"),
        ("capacity: 200", "actions.capacity: 200 in which time? write {contacts: 200, per: week}"),
        ("stages: [retired]", "actions.stages: unknown stage retired; use one of prospect_aware"),
        (
            "not_within: {ret",
            "actions.not_within: there is no action retension_offer; did you",
        ),
        ("new:", "new stands twice in one entry; remove one"),
    ]
    assert len(found) == len(expected)
    for line, text in expected:
        assert any(at.startswith(line.strip()) and t.startswith(text) for at, t in found), text


@pytest.mark.parametrize(
    ("changes", "at", "message"),
    [
        (
            {"trial": "only_after: [trail]"},
            "trial",
            "there is no action trail; did you mean trial",
        ),
        (
            {"trial": "only_after: [trial]"},
            "trial",
            "trial comes only after itself, and could never be done; remove it here",
        ),
        (
            {"trial": "only_after: [consultation]", "consultation": "only_after: [trial]"},
            "trial",
            "trial comes only after consultation, consultation only after trial: none of them "
            "could ever be done; remove one link",
        ),
        (
            {"content": "only_after: [trial]", "trial": "only_after: [up_sell]"}
            | {"up_sell": "only_after: [content]"},
            "content",
            "content comes only after trial, trial only after up_sell, up_sell only after content",
        ),
        ({"trial": "only_after: [let_go]"}, "trial", "let_go is doing nothing"),
        ({"trial": "only_after: content"}, "trial", "'content': it must be a list, such as ["),
        ({"trial": "not_within: [content]"}, "trial", "it must be entries, as name: value; co"),
        ({"trial": "not_within: {trial: 9}"}, "trial", "an action's own pause is cooldown_days"),
        ({"trial": "not_within: {content: -1}"}, "trial", "greater than or equal to 1"),
        ({"trial": "segments: [high]"}, "trial", "segments name facts of a customer"),
        (
            {"trial": "segments: {risk_band: [dire]}"},
            "trial",
            "unknown risk_band dire; use one of low",
        ),
        ({"trial": "segments: {risk_band: high}"}, "trial", "list the values that it may have"),
        ({"trial": "segments: {region: [no]}"}, "trial", "YAML reads a value as False"),
        ({"trial": "segments: {purchases: [3]}"}, "trial", "this is a number; say its range"),
        ({"trial": "segments: {purchases: {at_least: 3, below: 2}}"}, "trial", "nothing is at lea"),
        ({"trial": "segments: {purchases: {more: 3}}"}, "trial", "more is unknown; correct its"),
        ({"trial": "segments: {shoe_size: [44]}"}, "trial", "no fact of a customer has this name"),
        ({"trial": "segments: {value_bond: [high]}"}, "trial", "did you mean value_band?"),
        ({"trial": "segments: {marketing_consent: [1]}"}, "trial", "consent decides by itself"),
        ({"trial": "segments: {stage: [new]}"}, "trial", "stages have an entry of their own"),
        ({"trial": "segments: {treatment_last: [a]}"}, "trial", "is said by only_after"),
    ],
)
def test_what_cannot_be_is_refused_with_its_line(
    tmp_path: Path, changes: dict[str, str], at: str, message: str
):
    file = edited(tmp_path, **changes)
    (one,) = refusal(file).mistakes
    first = min(line_after(key) for key in changes)
    assert one.line == (first if len(changes) > 1 else line_after(at))
    assert message in one.text


def test_a_way_out_of_a_loop_is_none(tmp_path: Path):
    file = edited(
        tmp_path, trial="only_after: [consultation, content]", consultation="only_after: [trial]"
    )
    assert load_playbook(file).actions[1].only_after == ("consultation", "content")


def test_no_price_offer_depends_on_what_is_sensitive(tmp_path: Path):
    entry = "segments: {age_group: [young], purchases: {at_least: 1}}"
    file = edited(tmp_path, retention_offer=entry, up_sell=entry)
    assert load_playbook(file)
    one, other = refusal(file, sensitive=["age_group", "registered_at"]).mistakes
    assert "an action may not depend on it" in one.text
    assert "a price offer may not depend on it" in other.text
    assert one.line == line_after("up_sell")


def test_more_that_may_be_said_leaves_the_version_alone(tmp_path: Path):
    said = edited(tmp_path, trial="segments: {}\n    only_after: []")
    assert load_playbook(said).version == load_playbook().version
    changed = edited(tmp_path, trial="only_after: [content]")
    assert load_playbook(changed).version != load_playbook().version


# --- segments ---


@given(st.data())
def test_an_action_admits_whom_its_segments_describe(data: st.DataObject):
    """The arrays say what a reader of the file would say of each customer."""
    import numpy as np

    vocabulary = Vocabulary({"region": ("North", "South")})
    segments = {
        "risk_band": data.draw(st.sampled_from([("low",), ("mid", "high")])),
        "region": data.draw(st.sampled_from([("North",), ("South", "West"), ("West",)])),
        "purchases": data.draw(
            st.sampled_from([{"at_least": 2}, {"below": 3}, {"at_least": 1, "below": 2}])
        ),
    }
    chosen = data.draw(st.sets(st.sampled_from(sorted(segments)), min_size=1))
    action = CONTENT["actions"][0] | {"segments": {name: segments[name] for name in chosen}}
    made = Playbook.model_validate(CONTENT | {"actions": [action, *CONTENT["actions"][1:]]})
    admission = Admission.of([one.segments for one in made.actions], vocabulary)
    rows = data.draw(
        st.lists(
            st.tuples(
                st.sampled_from(["low", "mid", "high", None]),
                st.sampled_from(["North", "South", "West", None]),
                st.sampled_from([0, 1, 2, 3, None]),
            ),
            min_size=1,
        )
    )
    bands = {"low": 0, "mid": 1, "high": 2, None: -1}
    facts = {
        "risk_band": np.array([bands[risk] for risk, _, _ in rows]),
        "region": np.array([vocabulary.code("region", region) for _, region, _ in rows]),
        "purchases": np.array([np.nan if n is None else n for _, _, n in rows], dtype=float),
    }

    def holds(risk: str | None, region: str | None, purchases: int | None) -> bool:
        span = segments["purchases"]
        # West is too rare for the model to know.
        told = {
            "risk_band": risk in segments["risk_band"],
            "region": region in ("North", "South") and region in segments["region"],
            "purchases": purchases is not None
            and span.get("at_least", 0) <= purchases < span.get("below", 9),
        }
        return all(told[name] for name in chosen)

    admitted = admission.admitted(facts, len(rows))
    assert admitted is not None
    assert admitted[:, 0].tolist() == [holds(*row) for row in rows]
    assert admitted[:, 1:].all()


def test_every_fact_that_a_segment_may_name_has_a_meaning():
    assert len(MEANINGS) > 100
    assert all(MEANINGS.values())
    assert "marketing_consent" not in MEANINGS


# --- the verb ---


def test_a_playbook_is_begun_edited_and_checked(tmp_path: Path):
    mine = tmp_path / "mine.yaml"
    assert "check" in run(tmp_path / "ws", "playbook", "copy", mine).output
    assert (tmp_path / SCHEMA_FILE.name).read_text(encoding="utf-8") == schema_text()
    again = run(tmp_path / "ws", "playbook", "copy", mine)
    assert again.exit_code == 1
    assert "is left alone" in again.output
    text = mine.read_text(encoding="utf-8")
    mine.write_text(text.replace("contact_cost: 3.00", "contact_cost: 4.00"), encoding="utf-8")
    good = run(tmp_path / "ws", "playbook", "check", mine)
    assert good.exit_code == 0
    assert "changed: consultation: contact_cost from 3.0 to 4.0" in good.output
    mine.write_text(text.replace("contact_cost: 3.00", "contact_cost: -4\n    x: 1"))
    bad = run(tmp_path / "ws", "playbook", "check", mine, "--json", tmp_path / "said.json")
    assert bad.exit_code == 1
    said = json.loads((tmp_path / "said.json").read_text())
    line = next(n for n, text in enumerate(TEXT.splitlines(), 1) if "contact_cost: 3.00" in text)
    assert [one["line"] for one in said["mistakes"]] == [line, line + 1]
    with pytest.raises(InputError):
        load_playbook(mine)
