"""The data report as one HTML page: figures with the words that belong to them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from html import escape

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from features.ingest.report import IngestReport
from pipelines.data_facts import DataFacts, OrderFacts, TableFacts
from pipelines.page import bullets, drawing, page, table

_BLUE, _ORANGE, _GREY = "#0072b2", "#d55e00", "#999999"
_COLOURS = (_BLUE, _ORANGE, "#009e73", "#cc79a7", "#e69f00", "#56b4e9", _GREY)
_MOST_SERIES = 6


def data_page(facts: DataFacts, reports: Sequence[IngestReport]) -> str:
    """Put the report together; it names no customer and needs nothing from the network."""
    orders = facts.orders
    sections = [
        f"<h1>The data: {orders.orders:,} orders of {orders.customers:,} customers</h1>",
        f"<p>From {orders.first_day} to {orders.last_day}, {orders.net:,.2f} {facts.currency} net "
        f"of returns. {orders.one_order_share:.0%} of the buyers bought on one day only.</p>",
        bullets(facts.advice),
        "<h2>What was read</h2>",
        _reading(reports),
        *(f"<h3>{escape(report.source)}</h3>{bullets(report.sentences())}" for report in reports),
        "<h2>Orders</h2>",
        _figure(_orders_by_month(orders), "Orders a month, a customer's first day apart."),
        _figure(_money_by_month(orders, facts.currency), "Net revenue and returns a month."),
        _figure(
            _values(orders, facts.currency),
            f"Order values: half are at most {orders.order_values[0]:,.2f}, nine tenths at most "
            f"{orders.order_values[1]:,.2f} {facts.currency}.",
        ),
    ]
    if orders.gap_counts:
        caption = (
            f"Days between a customer's purchase days: half are at most {orders.gaps[0]:.0f}, nine "
            f"tenths at most {orders.gaps[1]:.0f}."
        )
        sections.append(_figure(_cumulative(orders.gap_counts, "days to the next"), caption))
    if orders.delays[2] > 0:
        caption = "Share of the lines that had arrived so many days after they happened."
        sections.append(_figure(_cumulative(orders.delay_counts, "days to arrival"), caption))
    for other in facts.others:
        sections.append(f"<h2>{escape(other.table.capitalize())}</h2>")
        caption = f"{other.rows:,} rows of {other.customers:,} customers, a month, by {other.by}."
        sections.append(_figure(_by_month(other), caption))
    return page("Data report", "\n".join(sections))


def _reading(reports: Sequence[IngestReport]) -> str:
    rows = [
        (
            report.source,
            report.table,
            *(f"{report.counts[name]:,}" for name in ("rows_in", "kept", "merged", "quarantined")),
        )
        for report in reports
    ]
    return table(("file", "table", "rows", "kept", "merged", "quarantined"), rows)


def _figure(figure: Figure, caption: str) -> str:
    out = io.StringIO()
    # A fixed salt and no date: the same data make the same bytes.
    figure.savefig(out, format="svg", metadata={"Date": None})
    svg = out.getvalue()
    return drawing(svg[svg.index("<svg") :], caption)


def _canvas(x: str, y: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    axes = figure.add_subplot()
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _legend(axes: Axes) -> None:
    """Put the names beside the bars, where they hide none."""
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))


def _months(axes: Axes, months: Sequence[str]) -> None:
    """Name at most a dozen months, so that the names can be read."""
    step = max(1, -(-len(months) // 12))
    axes.set_xticks(range(0, len(months), step), [months[i] for i in range(0, len(months), step)])


def _orders_by_month(orders: OrderFacts) -> Figure:
    figure, axes = _canvas("", "orders")
    first = [month["first_orders"] for month in orders.months]
    repeat = [month["repeat_orders"] for month in orders.months]
    places = range(len(first))
    axes.bar(places, repeat, color=_BLUE, label="repeat")
    axes.bar(places, first, bottom=repeat, color=_ORANGE, label="first")
    _months(axes, [month["month"] for month in orders.months])
    _legend(axes)
    return figure


def _money_by_month(orders: OrderFacts, currency: str) -> Figure:
    figure, axes = _canvas("", currency)
    places = range(len(orders.months))
    axes.bar(places, [month["net"] for month in orders.months], color=_BLUE, label="net")
    returned = [-month["returned"] for month in orders.months]
    axes.bar(places, returned, color=_ORANGE, label="returned (in the net)")
    _months(axes, [month["month"] for month in orders.months])
    _legend(axes)
    return figure


def _values(orders: OrderFacts, currency: str) -> Figure:
    figure, axes = _canvas(f"order value, {currency}, logarithmic", "orders")
    least, most = max(min(orders.values), 0.01), max(orders.values)
    steps = 40
    edges = [least * (most / least) ** (i / steps) for i in range(steps + 1)]
    if most > least:
        axes.hist(orders.values, bins=edges, color=_BLUE)
        axes.set_xscale("log")
    else:
        axes.hist(orders.values, color=_BLUE)
    return figure


def _cumulative(counts: Sequence[tuple[int, int]], x: str) -> Figure:
    figure, axes = _canvas(x, "share")
    total = sum(n for _, n in counts)
    days, shares, so_far = [], [], 0
    for day, n in counts:
        so_far += n
        days.append(day)
        shares.append(so_far / total)
    axes.step(days, shares, where="post", color=_BLUE)
    axes.set_ylim(0, 1.02)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def _by_month(other: TableFacts) -> Figure:
    figure, axes = _canvas("", "rows")
    months = sorted({month for month, _, _ in other.months})
    sizes: dict[str, int] = {}
    for _, by, n in other.months:
        sizes[by] = sizes.get(by, 0) + n
    named = sorted(sizes, key=lambda by: (-sizes[by], by))[:_MOST_SERIES]
    rows: dict[tuple[str, str], int] = {}
    for month, by, n in other.months:
        series = by if by in named else "others"
        rows[month, series] = rows.get((month, series), 0) + n
    base = [0] * len(months)
    shown = [*named, "others"] if len(sizes) > len(named) else named
    for colour, series in zip(_COLOURS, shown, strict=False):
        heights = [rows.get((month, series), 0) for month in months]
        axes.bar(range(len(months)), heights, bottom=base, color=colour, label=series)
        base = [b + h for b, h in zip(base, heights, strict=True)]
    _months(axes, months)
    _legend(axes)
    return figure
