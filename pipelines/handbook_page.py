"""The handbook as a page to print and hand on, and as Markdown."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from pipelines.handbook_content import ActionEntry, Handbook, StageEntry
from pipelines.page import page, table

_COLUMNS = ("action", "purpose", "stages", "cost", "pause", "capacity")
_STYLE = """
.lead { font-size: 1.05rem; }
nav ol { columns: 2; padding-left: 1.3rem; margin: .4rem 0; } nav li { break-inside: avoid; }
.standard { border-left: 4px solid var(--mark); margin: .4rem 0; padding: .2rem 0 .2rem .8rem;
  font-size: 1.08rem; }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 26rem), 1fr));
  gap: .9rem; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: .5rem;
  padding: .8rem 1rem; break-inside: avoid; }
.card header { display: flex; justify-content: space-between; align-items: baseline; gap: .8rem; }
.tag { font-size: .8rem; color: var(--mark); border: 1px solid currentColor; border-radius: 1rem;
  padding: 0 .55rem; white-space: nowrap; } .tag.service { color: var(--service); }
dl { margin: .6rem 0 0; display: grid; grid-template-columns: minmax(6.5rem, 30%) 1fr;
  gap: .25rem .8rem; font-size: .93rem; } dt { color: var(--soft); } dd { margin: 0; }
@media (min-width: 44.01rem) {
  td:nth-child(n + 4), td:nth-child(2) { white-space: nowrap; }
}
@media (max-width: 44rem) {
  nav ol { columns: 1; } dl { grid-template-columns: 1fr; gap: 0; } dd { margin-bottom: .4rem; }
}
@media print {
  nav { display: none; } section.stage { break-before: page; }
  .cards { grid-template-columns: 1fr 1fr; }
}
"""


def handbook_page(book: Handbook) -> str:
    """Write it as one HTML page, which needs nothing from the network."""
    words = book.words
    language = "zh-Hans" if book.language == "zh" else "en"
    body = "\n".join(
        [
            f"<h1>{escape(words['title'])}</h1>",
            f'<p class="lead">{escape(book.lead)}</p>',
            f'<nav aria-label="{escape(words["contents"])}"><ol>{"".join(_links(book))}</ol></nav>',
            f"<h2>{escape(words['always'])}</h2>",
            f"<ul>{''.join(f'<li>{escape(rule)}</li>' for rule in words['always_rules'])}</ul>",
            f"<h2>{escape(words['glance'])}</h2>",
            table([words[name] for name in _COLUMNS], book.glance),
            *(_stage(book, stage) for stage in book.stages),
            f"<footer>{'<br>'.join(escape(line) for line in book.footer)}</footer>",
        ]
    )
    return page(words["title"], body, language=language, style=_STYLE)


def handbook_markdown(book: Handbook) -> str:
    """Write it as Markdown."""
    words = book.words
    lines = [f"# {words['title']}", "", book.lead, "", f"## {words['always']}", ""]
    lines += [f"- {rule}" for rule in words["always_rules"]]
    for stage in book.stages:
        lines += ["", f"## {stage.name}", "", f"**{words['who']}**", ""]
        lines += [f"- {line}" for line in stage.who]
        lines += ["", f"**{words['standard']}**: {stage.standard}", "", f"**{words['actions']}**"]
        for action in stage.actions:
            lines += ["", f"### {action.name} ({action.purpose})", ""]
            lines += [f"- {label}: {text}" for label, text in action.lines]
        if not stage.actions:
            lines += ["", words["no_actions"]]
    lines += ["", "---", "", *(f"{line}  " for line in book.footer)]
    return "\n".join(lines) + "\n"


def _links(book: Handbook) -> Iterator[str]:
    for stage in book.stages:
        yield f'<li><a href="#{stage.key}">{escape(stage.name)}</a></li>'


def _stage(book: Handbook, stage: StageEntry) -> str:
    words = book.words
    who = "".join(f"<p>{escape(line)}</p>" for line in stage.who)
    cards = "".join(map(_card, stage.actions)) or f"<p>{escape(words['no_actions'])}</p>"
    return (
        f'<section class="stage" id="{stage.key}"><h2>{escape(stage.name)}</h2>'
        f"<h3>{escape(words['who'])}</h3>{who}"
        f'<h3>{escape(words["standard"])}</h3><p class="standard">{escape(stage.standard)}</p>'
        f'<h3>{escape(words["actions"])}</h3><div class="cards">{cards}</div></section>'
    )


def _card(action: ActionEntry) -> str:
    lines = "".join(
        f"<dt>{escape(label)}</dt><dd>{escape(text)}</dd>" for label, text in action.lines
    )
    kind = "service" if action.is_service else "marketing"
    return (
        f'<article class="card"><header><h4>{escape(action.name)}</h4>'
        f'<span class="tag {kind}">{escape(action.purpose)}</span></header>'
        f"<dl>{lines}</dl></article>"
    )
