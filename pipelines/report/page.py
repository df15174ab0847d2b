"""The report as one page, which needs nothing from a network."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from pathlib import Path

from pipelines.page import page
from pipelines.report.blocks import paragraphs, prose, section, told_cards, told_list
from pipelines.report.contents import Contents
from pipelines.report.evidence_part import effects, predictions, todo
from pipelines.report.findings import Findings
from pipelines.report.headline_part import headline
from pipelines.report.health_part import health
from pipelines.report.indicator_tables import indicators
from pipelines.report.movement_part import movement
from pipelines.report.telling import Teller
from pipelines.report.themes_part import associations, causes, channels, cohorts, funnel
from pipelines.report.words import Words
from pipelines.report.worth_part import value

_ORDER = (
    "findings", "movement", "worth", "journey", "acquisition", "development", "retention", "loss",
    "actions", "predictions", "health", "method",
)  # fmt: skip
_HERE = Path(__file__).parent


def report_page(
    contents: Contents, found: Findings, words: Words, actions: Mapping[str, str]
) -> str:
    """Put the page together; it names no customer.

    Parameters
    ----------
    actions
        Names of actions by their key, in the page's language.
    """
    teller = Teller(words, contents, actions)

    def table(theme: str) -> str:
        return indicators(words, teller, contents, found, theme)  # type: ignore[arg-type]

    sections = {
        "findings": section(words, "findings", _findings(words, teller, found)),
        "movement": section(words, "movement", *movement(words, teller, contents)),
        "worth": section(
            words,
            "worth",
            f"<h3>{escape(words['themes']['trade'])}</h3>{table('trade')}",
            *value(words, teller, contents),
        ),
        "journey": section(words, "journey", funnel(words, contents), table("journey")),
        "acquisition": section(
            words, "acquisition", table("acquisition"), channels(words, contents)
        ),
        "development": section(words, "development", table("development")),
        "retention": section(words, "retention", cohorts(words, contents), table("retention")),
        "loss": section(
            words, "loss", table("loss"), causes(words, contents), associations(words, contents)
        ),
        "actions": section(
            words, "actions", effects(words, teller, contents), todo(words, teller, contents)
        ),
        "predictions": section(words, "predictions", predictions(words, contents)),
        "health": section(words, "health", health(words, contents)),
        "method": section(
            words, "method", _missing(words, teller, contents), _method(words, contents)
        ),
    }
    shown = [key for key in _ORDER if sections[key]]
    links = "".join(
        f'<li><a href="#{key}">{escape(words["sections"][key])}</a></li>' for key in shown
    )
    title = f"{words['title']} · {_subtitle(words, contents)}"
    body = (
        f'<a class="skip" href="#findings">{escape(words["skip"])}</a>\n'
        f"{_header(words, contents)}\n{headline(words, teller, contents, found)}\n"
        f'<nav class="contents" aria-label="{escape(words["contents"], quote=True)}">'
        f"<ul>{links}</ul></nav>\n" + "\n".join(sections[key] for key in shown) + "</main>"
    )
    style = (_HERE / "style.css").read_text(encoding="utf-8")
    script = (_HERE / "tip.js").read_text(encoding="utf-8")
    language = "zh-Hans" if words.language == "zh" else "en"
    return page(title, body, language=language, style=style, script=script)


def _subtitle(words: Words, contents: Contents) -> str:
    return words.tell("subtitle", period=words.period(contents.period), name=contents.name)


def _header(words: Words, contents: Contents) -> str:
    prospects = contents.customers - contents.buyers
    key = "lead" if prospects else "lead_no_prospects"
    lead = words.tell(
        key,
        buyers=words.count(contents.buyers),
        prospects=words.count(prospects),
        day=words.day(contents.as_of),
    )
    more = words.tell(
        "lead_more",
        period=words.period(contents.period),
        first=words.day(contents.period.first),
        last=words.day(contents.period.last),
        day=words.day(contents.as_of),
    )
    hindsight = str(words["lead_hindsight"]) if contents.hindsight else ""
    return (
        f'<header class="top"><p class="kicker">{escape(contents.name)} · '
        f"{escape(words['title'])}</p><h1>{escape(words.period(contents.period))}</h1>"
        f"{paragraphs(lead, more, hindsight)}</header>"
    )


def _findings(words: Words, teller: Teller, found: Findings) -> str:
    heads = words["heads"]

    def block(key: str, body: str) -> str:
        return f"<div><h3>{escape(heads[key])}</h3>{body}</div>"

    test = ""
    if found.compared:
        test = f'<p class="small">{prose(words.tell("findings.test", compared=found.compared))}</p>'
    contents = teller.contents
    plan = ""
    if found.todo:
        command = f"`lifecycle recommend --as-of {contents.as_of} --budget ...`"
        plan = f'<p class="small">{prose(words.tell("findings.plan", command=command))}</p>'
    trusted, steps = list(teller.trusted(found.trusted)), list(teller.todo(found))
    blocks = [
        block("changed", told_list(teller.changed(found)) + test),
        block("groups", told_cards(teller.groups(found))),
        block("brought", told_list(teller.brought(found))),
        *([block("todo", told_cards(steps) + plan)] if steps else []),
        *([block("trusted", told_list(trusted))] if trusted else []),
    ]
    return f'<div class="findings">{"".join(blocks)}</div>'


def _missing(words: Words, teller: Teller, contents: Contents) -> str:
    """Say what is not known, by what would bring it."""
    wanted: dict[str, list[str]] = {}
    for one in contents.series:
        if one.missing is not None:
            wanted.setdefault(one.missing, []).append(teller.name(one))
    for reason, name in (
        (contents.loss.missing, "missing_causes"),
        (contents.actions.missing, "missing_actions"),
        (None if contents.acquisition.channels else "channels", "missing_channels"),
    ):
        if reason is not None:
            wanted.setdefault(reason, []).append(str(words[name]))
    if not wanted:
        return ""
    told = [
        words.tell("missing_line", names=words.listed(names), needs=_needs(words, key))
        for key, names in wanted.items()
    ]
    lines = "".join(f"<li>{prose(line)}</li>" for line in told)
    return (
        f"<h3>{escape(words['heads']['missing'])}</h3><p>{escape(words['missing_lead'])}</p>"
        f"<ul>{lines}</ul>"
    )


def _needs(words: Words, key: str) -> str:
    told = words["missing"]
    if key.startswith("kind:"):
        kind, _, column = key.removeprefix("kind:").partition(".")
        return str(told["kind_value" if column else "kind"]).format(kind=kind)
    return str(told[key])


def _method(words: Words, contents: Contents) -> str:
    lines = [
        str(line).format(
            day=words.day(contents.as_of),
            silent=contents.silent_days,
            horizon=contents.horizon_days,
            margin=words.share(contents.margin, 0),
        )
        for line in words["method"]
    ]
    last = (
        words.tell("method_model", version=contents.model_version)
        if contents.model_version is not None
        else str(words["method_no_model"])
    )
    items = "".join(f"<li>{prose(line)}</li>" for line in [*lines, last])
    return f'<ul class="small">{items}</ul>'
