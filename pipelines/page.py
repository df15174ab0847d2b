"""What the pages have in common: one file each, for a phone and a desk, by day, by night, on paper.

A page needs nothing from the network. Contrast of text is at least 7 to 1 on both grounds.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape

_STYLE = """
:root { color-scheme: light dark; --ground: #fff; --ink: #1c1f24; --soft: #4a515c; --line: #d5d9e0;
  --card: #f6f7f9; --mark: #084a70; --service: #0f5230; }
@media (prefers-color-scheme: dark) { :root { --ground: #14171c; --ink: #eceff4; --soft: #b7bfcc;
  --line: #3a414d; --card: #1d2129; --mark: #8cc8ef; --service: #8fdcb0; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink); font: 16px/1.55 system-ui,
  -apple-system, "Segoe UI", "PingFang SC", "Microsoft YaHei", "Noto Sans CJK SC", sans-serif;
  overflow-wrap: break-word; }
main { margin: 0 auto; max-width: 68rem; padding: 1.5rem 1rem 3rem; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .6rem; }
h2 { font-size: 1.4rem; margin: 2.6rem 0 .8rem; padding-top: .6rem;
  border-top: 2px solid var(--mark); }
h3 { font-size: 1rem; margin: 1.2rem 0 .4rem; color: var(--soft); }
h4 { font-size: 1.08rem; margin: 0; }
a { color: var(--mark); }
p, li { max-width: 46rem; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
th, td { text-align: left; vertical-align: top; padding: .35rem .6rem .35rem 0;
  border-bottom: 1px solid var(--line); }
thead th { color: var(--soft); }
tbody th { font-weight: 600; }
.number { text-align: right; font-variant-numeric: tabular-nums; }
figure { margin: 1rem 0; }
figcaption { color: var(--soft); font-size: .9rem; }
.drawing { overflow-x: auto; background: #fff; border-radius: .4rem; }
.drawing svg { display: block; width: 100%; min-width: 38rem; height: auto; }
footer { margin-top: 2.5rem; color: var(--soft); font-size: .85rem; }
@media (max-width: 44rem) {
  thead { display: none; }
  tbody tr { display: block; padding: .5rem 0; border-bottom: 1px solid var(--line); }
  tbody th, tbody td { display: flex; gap: .8rem; border: 0; padding: .1rem 0; }
  tbody .number { text-align: left; }
  tbody td:empty { display: none; }
  tbody td::before { content: attr(data-label); flex: 0 0 7rem; color: var(--soft); }
}
@media print {
  :root { color-scheme: light; --ground: #fff; --ink: #000; --soft: #333; --line: #999;
    --card: #fff; --mark: #000; --service: #000; }
  @page { margin: 16mm 14mm; } html { font-size: 13px; } body { font-size: 10pt; }
  main { max-width: none; padding: 0; }
  th, td { padding-right: .4rem; } table { font-size: .82rem; }
  h2, h3 { break-after: avoid; } h2, h3, figure, tr { break-inside: avoid; }
  a { text-decoration: none; }
}
"""


def page(title: str, body: str, *, language: str = "en", style: str = "", script: str = "") -> str:
    """Write a whole page; ``language`` is a tag of BCP 47, ``style`` what it has of its own.

    What it says it must say without its ``script``.

    >>> print(page("A & B", "<h1>A</h1>"))
    <!doctype html>
    <html lang="en"><head><meta charset="utf-8">...<title>A &amp; B</title>...<main>
    <h1>A</h1>
    </main>...
    """
    scripted = f"<script>{script}</script>\n" if script else ""
    return (
        f'<!doctype html>\n<html lang="{language}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}{style}</style></head>\n"
        f"<body><main>\n{body}\n</main>{scripted}</body></html>\n"
    )


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    r"""Write a table; on a phone each row stands as a list of its cells by their column's name.

    A column of numbers stands to the right.

    >>> print(table(["who", "how many"], [["A", "1,200"]]).replace("<t", "\n<t").strip())
    <table>
    <thead>
    <tr>
    <th scope="col">who</th>
    <th scope="col" class="number">how many</th></tr></thead>
    <tbody>
    <tr>
    <th scope="row">A</th>
    <td data-label="how many" class="number">1,200</td></tr></tbody></table>
    """
    kinds = [
        ' class="number"' if place and all(map(_is_number, column)) else ""
        for place, column in enumerate(zip(*rows, strict=True))
    ] or [""] * len(head)
    cells = "".join(
        f'<th scope="col"{kind}>{escape(name)}</th>' for name, kind in zip(head, kinds, strict=True)
    )
    lines = "".join(
        f'<tr><th scope="row">{escape(row[0])}</th>'
        + "".join(
            f'<td data-label="{escape(name)}"{kind}>{escape(cell)}</td>'
            for name, kind, cell in zip(head[1:], kinds[1:], row[1:], strict=True)
        )
        + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{cells}</tr></thead><tbody>{lines}</tbody></table>"


def bullets(sentences: Iterable[str]) -> str:
    """Write sentences as a list.

    >>> bullets(["One.", "Two."])
    '<ul><li>One.</li><li>Two.</li></ul>'
    """
    return f"<ul>{''.join(f'<li>{escape(sentence)}</li>' for sentence in sentences)}</ul>"


def drawing(svg: str, caption: str) -> str:
    """Write a picture, which a phone shows large enough to be read and moves sideways.

    Its ground stays white at night: the colours in it were chosen for that.
    """
    # Who moves it with keys must be able to reach it.
    return (
        f'<figure><div class="drawing" role="img" aria-label="{escape(caption)}" tabindex="0">'
        f"{svg}</div><figcaption>{escape(caption)}</figcaption></figure>"
    )


def _is_number(cell: str) -> bool:
    """Tell a number, a range of numbers or nothing from words.

    >>> [_is_number(cell) for cell in ("1,200", "-0.3 to 2", "+4%", "", "–", "A 1", "2 orders")]
    [True, True, True, True, True, False, True]
    """
    return bool(re.match(r"[-+−]?\d|[–-]?$", cell))
