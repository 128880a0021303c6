"""What `ratchet feedback` tells, as one page: the score by day with its intervals, and how each feature has drifted.

Drawn here alone, and by hand: each mark tells its numbers where the pointer is, which matplotlib's SVG does not.
"""

from collections.abc import Callable, Iterator
from html import escape
from typing import NamedTuple

from pipeline.feedback_loop.comparing import Compared
from pipeline.feedback_loop.report import BIASED, Report, drift_line, line
from pipeline.project.html import document, section, table
from pipeline.tasks.metrics import lower_is_better

COLOURS = ["#2f6db5", "#c2571a", "#2e8b57", "#8a4fb0", "#b3372f", "#5b6770"]  # of versions, in turns
WIDTH, HEIGHT, LEFT, BOTTOM = 860, 240, 56, 24  # of the chart, in pixels
BAR, TALL = 12, 34  # of a bin's two bars, in pixels


class Dot(NamedTuple):
    """A version's day in the chart."""

    version: int
    day: str
    labels: int
    value: float
    low: float
    high: float


def page(report: Report) -> str:
    found = report.drift
    parts = [section("", f"<p class='quiet'>{escape(report.time)}</p>")]
    days = [
        Dot(one.version, one.day, one.labels, one.value, one.low, one.high)
        for one in report.scores
        if one.day and one.value is not None and one.low is not None and one.high is not None
    ]
    if report.scores:
        rows = [line(one) for one in report.scores]
        head = ("version", "day", "predictions", "labels", report.metric, "95% interval")
        said = f"<p class='quiet'>{escape(BIASED)}</p>"
        parts.append(section(f"{report.metric} by day", (chart(report.metric, days) if days else "") + said))
        parts.append(section("Versions and their days", table(head, rows)))
    else:
        parts.append(section("", "<p>Nothing was predicted yet.</p>"))
    notes = "".join(f"<p>{escape(note)}</p>" for note in found.notes)
    if found.inputs:
        notes += f"<p class='quiet'>{found.live:,} predictions of version {found.version} beside the data that it "
        notes += f"was made of. A feature has drifted if its index reaches {found.psi:g} and chance is ruled out. "
        notes += "Bars: grey the data, coloured what was asked.</p>"
        bad = {one.name for one in found.drifted}
        ordered = sorted([*found.inputs, *found.answers], key=lambda one: (one.name not in bad, -one.psi))
        notes += features(ordered, bad)
    parts.append(section("Drift", notes))
    return document(f"{report.model} in use", parts)


def chart(metric: str, days: list[Dot]) -> str:
    """A dot for each version's day, with its interval; days at equal distances."""
    names = sorted({one.day for one in days})
    versions = sorted({one.version for one in days})
    top = max(one.high for one in days) * 1.05 if lower_is_better(metric) else 1.0
    step = (WIDTH - LEFT - 30) / len(names)

    def height(value: float) -> float:
        return 8 + (HEIGHT - BOTTOM - 8) * (1 - value / top)

    parts = [axis(top, height), *dates(names, step)]
    for one in days:
        offset = 6 * (versions.index(one.version) - (len(versions) - 1) / 2)
        x = LEFT + step * (names.index(one.day) + 0.5) + max(-step / 3, min(step / 3, offset))
        colour = COLOURS[versions.index(one.version) % len(COLOURS)]
        told = f"version {one.version}, {one.day}: {one.value:.4g}, {one.low:.4g} to {one.high:.4g} of {one.labels}"
        parts.append(
            f"<g stroke='{colour}' fill='{colour}'><title>{escape(told)}</title>"
            f"<line x1='{x:.1f}' x2='{x:.1f}' y1='{height(one.low):.1f}' y2='{height(one.high):.1f}' stroke-width='2'/>"
            f"<circle cx='{x:.1f}' cy='{height(one.value):.1f}' r='4'/></g>"
        )
    label = f"{metric} by day with 95% intervals"
    return svg(WIDTH, HEIGHT, label, "".join(parts)) + legend(versions)


def axis(top: float, height: Callable[[float], float]) -> str:
    lines = []
    for part in range(5):
        value = top * part / 4
        y = height(value)
        lines.append(
            f"<line x1='{LEFT}' x2='{WIDTH}' y1='{y:.1f}' y2='{y:.1f}' stroke='#e4e6ea'/>"
            f"<text x='{LEFT - 8}' y='{y + 4:.1f}' text-anchor='end'>{value:.3g}</text>"
        )
    return "".join(lines)


def dates(names: list[str], step: float) -> Iterator[str]:
    every = max(1, round(90 / step))
    for place in range(0, len(names), every):
        x = LEFT + step * (place + 0.5)
        yield f"<text x='{x:.1f}' y='{HEIGHT - 4}' text-anchor='middle'>{names[place]}</text>"


def legend(versions: list[int]) -> str:
    marks = (
        f"<span style='color:{COLOURS[place % len(COLOURS)]}'>●</span> version {version}"
        for place, version in enumerate(versions)
    )
    return f"<p>{' &nbsp; '.join(marks)}</p>"


def features(ordered: list[Compared], bad: set[str]) -> str:
    head = "".join(f"<th>{name}</th>" for name in ("feature", "PSI", "test", "statistic", "p", "", "the data, and use"))
    rows = ""
    for one in ordered:
        cells = "".join(f"<td>{escape(cell)}</td>" for cell in drift_line(one, one.name in bad))
        colour = "#b3372f" if one.name in bad else "#2f6db5"
        rows += f"<tr>{cells}<td>{bars(one, colour)}</td></tr>\n"
    return f'<div class="wide"><table>\n<tr>{head}</tr>\n{rows}</table></div>'


def bars(one: Compared, colour: str) -> str:
    """Of each bin the share in the data and, beside it, in use."""
    tallest, parts = max(*one.reference, *one.live), []
    for place, (name, before, now) in enumerate(zip(one.bins, one.reference, one.live, strict=True)):
        parts.append(f"<g><title>{escape(name)}: {before:.1%} of the data, {now:.1%} of use</title>")
        for offset, share, fill in ((0, before, "#b9bec7"), (BAR / 2, now, colour)):
            tall = TALL * share / tallest
            x = place * (BAR + 3) + offset
            parts.append(f"<rect x='{x}' y='{TALL - tall:.1f}' width='{BAR / 2}' height='{tall:.1f}' fill='{fill}'/>")
        parts.append("</g>")
    return svg(len(one.bins) * (BAR + 3), TALL, f"{one.name}: shares of the bins", "".join(parts))


def svg(width: float, height: float, label: str, content: str) -> str:
    return (
        f"<svg role='img' aria-label='{escape(label, quote=True)}' viewBox='0 0 {width} {height}' width='{width}' "
        f"style='max-width:100%;font:12px system-ui,sans-serif;fill:#666c75'>{content}</svg>"
    )
