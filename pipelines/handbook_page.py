"""The handbook as a page to print and hand on, and as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from pipelines.handbook_content import ActionEntry, Handbook, StageEntry

_COLUMNS = ("action", "purpose", "stages", "cost", "pause", "capacity")
# Contrast of text is at least 7 to 1 on both grounds.
_STYLE = """
:root { color-scheme: light dark; --ground: #fff; --ink: #1c1f24; --soft: #4a515c; --line: #d5d9e0;
  --card: #f6f7f9; --mark: #084a70; --service: #0f5230; }
@media (prefers-color-scheme: dark) { :root { --ground: #14171c; --ink: #eceff4; --soft: #b7bfcc;
  --line: #3a414d; --card: #1d2129; --mark: #8cc8ef; --service: #8fdcb0; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 68rem; padding: 1.5rem 1rem 3rem; background: var(--ground);
  color: var(--ink); font: 16px/1.55 system-ui, -apple-system, "Segoe UI", "PingFang SC",
  "Microsoft YaHei", "Noto Sans CJK SC", sans-serif; overflow-wrap: break-word; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .6rem; }
h2 { font-size: 1.4rem; margin: 2.6rem 0 .8rem; padding-top: .6rem;
  border-top: 2px solid var(--mark); }
h3 { font-size: 1rem; margin: 1.2rem 0 .4rem; color: var(--soft); }
h4 { font-size: 1.08rem; margin: 0; }
a { color: var(--mark); }
.lead { font-size: 1.05rem; max-width: 46rem; }
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
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
th, td { text-align: left; vertical-align: top; padding: .35rem .6rem .35rem 0;
  border-bottom: 1px solid var(--line); } thead th { color: var(--soft); }
tbody th { font-weight: 600; } td:nth-child(n + 4), td:nth-child(2) { white-space: nowrap; }
footer { margin-top: 2.5rem; color: var(--soft); font-size: .85rem; }
@media (max-width: 44rem) {
  nav ol { columns: 1; } dl { grid-template-columns: 1fr; gap: 0; } dd { margin-bottom: .4rem; }
  thead { display: none; } tbody tr { display: block; padding: .5rem 0;
    border-bottom: 1px solid var(--line); }
  tbody th, tbody td { display: flex; gap: .8rem; border: 0; padding: .1rem 0; }
  tbody td:empty { display: none; }
  tbody td::before { content: attr(data-label); flex: 0 0 6rem; color: var(--soft); }
}
@media print {
  :root { color-scheme: light; --ground: #fff; --ink: #000; --soft: #333; --line: #999;
    --card: #fff; --mark: #000; --service: #000; }
  @page { margin: 16mm 14mm; } body { font-size: 10.5pt; max-width: none; padding: 0; }
  nav { display: none; } section.stage { break-before: page; } h2, h3 { break-after: avoid; }
  .cards { grid-template-columns: 1fr 1fr; } a { text-decoration: none; }
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
            _table([words[name] for name in _COLUMNS], book.glance),
            *(_stage(book, stage) for stage in book.stages),
            f"<footer>{'<br>'.join(escape(line) for line in book.footer)}</footer>",
        ]
    )
    return (
        f'<!doctype html>\n<html lang="{language}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(words['title'])}</title><style>{_STYLE}</style></head>\n"
        f"<body>\n{body}\n</body></html>\n"
    )


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


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    cells = "".join(f'<th scope="col">{escape(name)}</th>' for name in head)
    lines = "".join(
        f'<tr><th scope="row">{escape(row[0])}</th>'
        + "".join(
            f'<td data-label="{escape(name)}">{escape(cell)}</td>'
            for name, cell in zip(head[1:], row[1:], strict=True)
        )
        + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{cells}</tr></thead><tbody>{lines}</tbody></table>"


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
