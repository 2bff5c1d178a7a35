"""Charts as inline SVG: small pure functions from plain values to markup, without a plotting library and
without scripts.

Colours are told apart in print and by colour-blind readers, and never carry a meaning alone. Coordinates are
rounded, so that the same figures give the same bytes. What a chart shows is decided by `bulletin.py`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

INK, MUTED, RULE, ACCENT = "#1c2733", "#5b6875", "#d9dfe6", "#1f4e79"
LEVEL_COLOURS = {"3": "#1f4e79", "2": "#c46210", "1": "#4d8b57"}
YEAR_COLOURS = ("#a9bfd6", "#5f8db8", "#143d66")
STATUS_COLOURS = {
    "met": "#2e7d5b",
    "missed": "#c2410c",
    "to_review": "#e0a526",
    "insufficient": "#9aa6b2",
    "not_applicable": "#dfe4ea",
}
PART_COLOURS = ("#1f4e79", "#5f8db8", "#c46210", "#e3b778", "#4d8b57", "#9aa6b2")
GRID_COLOURS = {"in_force": "#cfe3d8", "held": "#e0a526", "held_behind": "#f3d998", "missing": "#c2410c"}
# A label may cover this share of its own area of other labels and points; a worse one is left out.
LABEL_COVER = 0.2
GRID_SIGNS = {"held": "!", "held_behind": "!", "missing": "×"}


@dataclass(frozen=True)
class Bar:
    """A bar with its interval: `label` left, `note` right."""

    label: str
    value: float
    low: float
    high: float
    note: str
    colour: str


@dataclass(frozen=True)
class Point:
    """A point of a scatter: `size` is a case count, drawn as area."""

    label: str
    x: float
    y: float
    size: float
    level: str
    title: str


def _n(value: float) -> str:
    return f"{value:.1f}".rstrip("0").rstrip(".")


def _text(
    x: float,
    y: float,
    text: str,
    *,
    size: float = 12,
    anchor: str = "start",
    fill: str = INK,
    extra: str = "",
) -> str:
    return (
        f'<text x="{_n(x)}" y="{_n(y)}" font-size="{_n(size)}" text-anchor="{anchor}" fill="{fill}"{extra}>'
        f"{escape(text)}</text>"
    )


def _line(
    x1: float, y1: float, x2: float, y2: float, *, stroke: str = RULE, width: float = 1, dash: str = ""
) -> str:
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    return (
        f'<line x1="{_n(x1)}" y1="{_n(y1)}" x2="{_n(x2)}" y2="{_n(y2)}" '
        f'stroke="{stroke}" stroke-width="{_n(width)}"{dashed}/>'
    )


def _rect(
    x: float, y: float, width: float, height: float, fill: str, *, extra: str = "", title: str = ""
) -> str:
    inside = f"<title>{escape(title)}</title>" if title else ""
    return (
        f'<rect x="{_n(x)}" y="{_n(y)}" width="{_n(max(width, 0))}" height="{_n(height)}" '
        f'fill="{fill}"{extra}>{inside}</rect>'
    )


def _svg(width: float, height: float, parts: Sequence[str], label: str) -> str:
    return (
        f'<svg viewBox="0 0 {_n(width)} {_n(height)}" role="img" aria-label="{escape(label)}" class="chart">'
        + "".join(parts)
        + "</svg>"
    )


def text_width(text: str, size: float) -> float:
    """Estimated width of a text: a Chinese character is a square, a Latin one about half of it."""
    return sum(size if ord(character) > 0x2E7F else size * 0.56 for character in text)


def nice_ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round axis values from at or below `low` to at or above `high`."""
    if high <= low:
        high = low + 1
    raw = (high - low) / about
    magnitude = 10 ** math.floor(math.log10(raw))
    step = next(m for m in (1, 2, 2.5, 5, 10) if raw <= m * magnitude * 1.0000001) * magnitude
    start = math.floor(low / step + 1e-9)
    end = math.ceil(high / step - 1e-9)
    return [round(index * step, 10) for index in range(start, end + 1)]


def tick_text(value: float) -> str:
    """An axis value without superfluous zeros."""
    return f"{value:,.2f}".rstrip("0").rstrip(".")


def ranked_bars(groups: Sequence[tuple[str, float, Sequence[Bar]]], axis: str) -> str:
    """Horizontal bars, one chart per group (title, group mean, bars), each bar with its 95 % interval.

    All groups share one scale from zero, so they compare; separate charts let a page break between them. The
    dashed line is the mean of the group.
    """
    bars = [bar for _, _, group in groups for bar in group]
    if not bars:
        return ""
    ticks = nice_ticks(0, max(bar.high for bar in bars))
    return "".join(_bar_group(title, mean, group, ticks, axis) for title, mean, group in groups)


def _bar_group(title: str, mean: float, bars: Sequence[Bar], ticks: Sequence[float], axis: str) -> str:
    width, left, right, row, head = 980.0, 180.0, 230.0, 24.0, 34.0
    scale = (width - left - right) / ticks[-1]
    bottom = head + row * len(bars)
    parts = []
    for tick in ticks:
        x = left + tick * scale
        parts += [
            _line(x, head - 4, x, bottom + 4),
            _text(x, bottom + 19, tick_text(tick), anchor="middle", fill=MUTED),
        ]
    parts.append(_text(width - right + 14, bottom + 19, axis, fill=MUTED))
    parts.append(_text(0, 20, title, size=13, extra=' font-weight="700"'))
    parts.append(_text(left, 20, f"本级合计 {mean:.4f}", fill=MUTED))
    for number, bar in enumerate(bars):
        y = head + row * number
        middle = y + row / 2
        shown = f"{bar.label} {bar.note}"
        parts.append(_text(left - 10, middle + 4, bar.label, size=13, anchor="end"))
        parts.append(
            _rect(left, y + 4, bar.value * scale, row - 8, bar.colour, extra=' rx="1.5"', title=shown)
        )
        if bar.high > bar.low:
            x1, x2 = left + bar.low * scale, left + bar.high * scale
            parts.append(_line(x1, middle, x2, middle, stroke="#ffffff", width=3.4))
            parts.append(_line(x1, middle, x2, middle, stroke=INK, width=1.4))
            parts += [_line(x, middle - 4, x, middle + 4, stroke=INK, width=1.4) for x in (x1, x2)]
        parts.append(_text(width - right + 14, middle + 4, bar.note))
    x = left + mean * scale
    parts.append(_line(x, head, x, bottom, stroke=INK, width=1.2, dash="4 3"))
    return _svg(width, bottom + 26, parts, f"{title} {axis}")


@dataclass(frozen=True)
class Track:
    """How a value of one institution moved: (value, title) per year or scheme, None where it is not reportable."""

    label: str
    note: str
    dots: Sequence[tuple[float | None, str]]


def dumbbells(names: Sequence[str], groups: Sequence[tuple[str, Sequence[Track]]], axis: str) -> str:
    """One line per institution, one chart per group (title, tracks), all on one scale. No value, no dot."""
    values = [
        value for _, tracks in groups for track in tracks for value, _ in track.dots if value is not None
    ]
    if not values:
        return ""
    spread = max(values) - min(values) or max(values) or 1
    ticks = nice_ticks(max(0.0, min(values) - spread * 0.06), max(values) + spread * 0.06, 6)
    return "".join(_track_group(title, names, tracks, ticks, axis) for title, tracks in groups)


def _track_group(
    title: str, names: Sequence[str], tracks: Sequence[Track], ticks: Sequence[float], axis: str
) -> str:
    width, left, right, row, head = 980.0, 180.0, 230.0, 25.0, 32.0
    scale = (width - left - right) / (ticks[-1] - ticks[0])
    bottom = head + row * len(tracks)

    def place(value: float) -> float:
        return left + (value - ticks[0]) * scale

    colours = dict(zip(names, YEAR_COLOURS[-len(names) :], strict=False))
    parts = [_text(0, 18, title, size=13, extra=' font-weight="700"')]
    parts += [_rect(0, head + row * number, width, row, "#f6f8fa") for number in range(0, len(tracks), 2)]
    for tick in ticks:
        parts.append(_line(place(tick), head - 4, place(tick), bottom + 4))
        parts.append(_text(place(tick), bottom + 19, tick_text(tick), anchor="middle", fill=MUTED))
    parts.append(_text(width - right + 14, bottom + 19, axis, fill=MUTED))
    x = left
    for name in names:
        parts.append(f'<circle cx="{_n(x + 6)}" cy="14" r="6" fill="{colours.get(name, ACCENT)}"/>')
        parts.append(_text(x + 17, 18, name))
        x += 17 + text_width(name, 12) + 22
    for number, track in enumerate(tracks):
        y = head + row * number + row / 2
        parts.append(_text(left - 10, y + 4, track.label, size=13, anchor="end"))
        found = [(name, *dot) for name, dot in zip(names, track.dots, strict=True) if dot[0] is not None]
        if len(found) > 1:
            low, high = min(dot[1] for dot in found), max(dot[1] for dot in found)
            parts.append(_line(place(low), y, place(high), y, stroke="#9db3c8", width=2.4))
        parts += [
            f'<circle cx="{_n(place(value))}" cy="{_n(y)}" r="6" fill="{colours.get(name, ACCENT)}" '
            f'stroke="#fff" stroke-width="1.2"><title>{escape(text)}</title></circle>'
            for name, value, text in found
        ]
        parts.append(_text(width - right + 14, y + 4, track.note))
    return _svg(width, bottom + 26, parts, f"{title} {axis}")


def scatter(
    points: Sequence[Point],
    x_axis: str,
    y_axis: str,
    *,
    references: tuple[float | None, float | None] = (None, None),
    corners: Sequence[str] = (),
    is_wide: bool = False,
) -> str:
    """Points with labels; `references` are dashed lines (x, y), `corners` name the quadrants from the top
    left clockwise.

    A wide chart fills the page and gives room for the labels of many points.
    """
    if not points:
        return ""
    width, height, left, right, top, bottom = (980.0 if is_wide else 540.0), 430.0, 56.0, 18.0, 14.0, 48.0
    x_ticks = _padded_ticks([p.x for p in points], references[0])
    y_ticks = _padded_ticks([p.y for p in points], references[1])

    def place(x: float, y: float) -> tuple[float, float]:
        return (
            left + (x - x_ticks[0]) / (x_ticks[-1] - x_ticks[0]) * (width - left - right),
            height - bottom - (y - y_ticks[0]) / (y_ticks[-1] - y_ticks[0]) * (height - top - bottom),
        )

    parts = []
    for tick in x_ticks:
        x, _ = place(tick, y_ticks[0])
        parts.append(_line(x, top, x, height - bottom))
        parts.append(_text(x, height - bottom + 16, tick_text(tick), size=11, anchor="middle", fill=MUTED))
    for tick in y_ticks:
        _, y = place(x_ticks[0], tick)
        parts.append(_line(left, y, width - right, y))
        parts.append(_text(left - 6, y + 4, tick_text(tick), size=11, anchor="end", fill=MUTED))
    if references[0] is not None:
        x, _ = place(references[0], y_ticks[0])
        parts.append(_line(x, top, x, height - bottom, stroke=MUTED, width=1.3, dash="5 4"))
    if references[1] is not None:
        _, y = place(x_ticks[0], references[1])
        parts.append(_line(left, y, width - right, y, stroke=MUTED, width=1.3, dash="5 4"))
    edges = (left + 6, top + 14, width - right - 6, height - bottom - 7)
    spots = (
        (edges[0], edges[1], "start"),
        (edges[2], edges[1], "end"),
        (edges[2], edges[3], "end"),
        (edges[0], edges[3], "start"),
    )
    for words, (x, y, anchor) in zip(corners, spots, strict=False):
        parts.append(_text(x, y, words, size=11, anchor=anchor, fill="#8794a1"))
    parts.append(_text((left + width - right) / 2, height - 8, x_axis, anchor="middle", fill=MUTED))
    middle = (top + height - bottom) / 2
    turned = f' transform="rotate(-90 13 {_n(middle)})"'
    parts.append(_text(13, middle, y_axis, anchor="middle", fill=MUTED, extra=turned))
    largest = max(p.size for p in points) or 1
    dots = [(p, *place(p.x, p.y), 3.5 + 7 * math.sqrt(p.size / largest)) for p in points]
    for point, x, y, radius in sorted(dots, key=lambda dot: -dot[3]):
        colour = LEVEL_COLOURS.get(point.level, MUTED)
        parts.append(
            f'<circle cx="{_n(x)}" cy="{_n(y)}" r="{_n(radius)}" fill="{colour}" fill-opacity=".62" '
            f'stroke="{colour}"><title>{escape(point.title)}</title></circle>'
        )
    parts += _labels(dots, (left, top, width - right, height - bottom))
    return _svg(width, height, parts, f"{x_axis} × {y_axis}")


def _padded_ticks(values: Sequence[float], reference: float | None) -> list[float]:
    """Axis values around the points and the reference line, with some air."""
    found = [*values, *([] if reference is None else [reference])]
    air = (max(found) - min(found) or 1) * 0.07
    return nice_ticks(max(0.0, min(found) - air), max(found) + air)


def _labels(
    dots: Sequence[tuple[Point, float, float, float]], frame: tuple[float, float, float, float]
) -> list[str]:
    """Place each label beside its point where it covers least; a label that would hide others is left to the
    tooltip.
    """
    size, taken, parts = 11.0, [], []
    circles = [(x - r, y - r, x + r, y + r) for _, x, y, r in dots]
    for point, x, y, radius in sorted(dots, key=lambda dot: -dot[3]):
        width = text_width(point.label, size)
        candidates = [
            (x + radius + 3, y + 4),
            (x - radius - 3 - width, y + 4),
            (x - width / 2, y - radius - 4),
            (x - width / 2, y + radius + 12),
            (x + radius * 0.7 + 2, y - radius * 0.7 - 3),
            (x + radius * 0.7 + 2, y + radius * 0.7 + 11),
            (x - radius * 0.7 - 2 - width, y - radius * 0.7 - 3),
            (x - radius * 0.7 - 2 - width, y + radius * 0.7 + 11),
        ]
        best = None
        for order, (tx, ty) in enumerate(candidates):
            box = (tx, ty - size + 1, tx + width, ty + 3)
            outside = box[0] < frame[0] or box[2] > frame[2] or box[1] < frame[1] or box[3] > frame[3]
            hidden = sum(_overlap(box, other) for other in taken) * 4 + sum(
                _overlap(box, other) for other, dot in zip(circles, dots, strict=True) if dot[0] is not point
            )
            cost = hidden + (10_000 if outside else 0) + order * 0.5
            if best is None or cost < best[0]:
                best = (cost, tx, ty, box)
        if best is not None and best[0] < size * width * LABEL_COVER:
            taken.append(best[3])
            parts.append(_text(best[1], best[2], point.label, size=size))
    return parts


def _overlap(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> float:
    return max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))


def stacked_bars(
    rows: Sequence[tuple[str, Sequence[tuple[str, float, str, str]]]], total_notes: Sequence[str], label: str
) -> str:
    """One bar of equal length per row; segments are (name, size, text inside, colour); a note at the end of
    each.
    """
    width, left, right, row = 980.0, 62.0, 130.0, 36.0
    height = row * len(rows) + 26
    parts, names = [], {}
    for number, (title, segments) in enumerate(rows):
        y = row * number
        total = sum(size for _, size, _, _ in segments)
        parts.append(_text(left - 10, y + 21, title, size=13, anchor="end"))
        x = left
        for name, size, inside, colour in segments:
            names[name] = colour
            if size <= 0 or total <= 0:
                continue
            length = (width - left - right) * size / total
            parts.append(
                _rect(
                    x,
                    y + 4,
                    length,
                    row - 10,
                    colour,
                    extra=' stroke="#fff"',
                    title=f"{title} {name} {inside}",
                )
            )
            if text_width(inside, 12) < length - 6:
                parts.append(_text(x + length / 2, y + 21, inside, anchor="middle", fill=_readable(colour)))
            x += length
        parts.append(_text(width - right + 12, y + 21, total_notes[number], fill=MUTED))
    x = left
    for name, colour in names.items():
        parts += [_rect(x, height - 16, 12, 12, colour), _text(x + 17, height - 5.5, name)]
        x += 17 + text_width(name, 12) + 22
    return _svg(width, height, parts, label)


def _readable(colour: str) -> str:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return "#ffffff" if 0.299 * red + 0.587 * green + 0.114 * blue < 150 else INK


def delivery_grid(
    months: Sequence[str], rows: Sequence[tuple[str, str]], datasets: Sequence[tuple[str, str]], states: dict
) -> str:
    """Institutions x months, one block per dataset side by side; missing and held cells carry a sign besides
    their colour.

    `rows` are (institution code, label), `datasets` (id, label), `states` maps (code, month, dataset id) to a
    state.
    """
    if not months or not rows:
        return ""
    width, left, gap, row, top = 980.0, 165.0, 20.0, 19.0, 40.0
    block = (width - left - gap * (len(datasets) - 1)) / len(datasets)
    cell = min(block / len(months), 26.0)
    height = top + row * len(rows) + 6
    parts = []
    for number, (dataset, title) in enumerate(datasets):
        x0 = left + (block + gap) * number
        parts.append(_text(x0, 14, title, size=13, extra=' font-weight="700"'))
        for index, month in enumerate(months):
            x = x0 + cell * index
            if month.endswith("-01") or index == 0:
                parts.append(
                    _text(x, 32, f"{month[:4]}年" if month.endswith("-01") else month, size=11, fill=MUTED)
                )
                parts.append(_line(x, 35, x, height - 4, stroke=MUTED, width=0.8))
            for line, (code, name) in enumerate(rows):
                state = states.get((code, month, dataset))
                if state is None:
                    continue
                y = top + row * line
                parts.append(
                    _rect(
                        x + 0.6,
                        y + 1,
                        cell - 1.2,
                        row - 2,
                        GRID_COLOURS[state],
                        title=f"{name} {month} {title}:{state_name(state)}",
                    )
                )
                if sign := GRID_SIGNS.get(state):
                    parts.append(
                        _text(
                            x + cell / 2,
                            y + row - 5,
                            sign,
                            anchor="middle",
                            fill=_readable(GRID_COLOURS[state]),
                            extra=' font-weight="700"',
                        )
                    )
    parts += [
        _text(left - 10, top + row * line + row - 5, name, size=12, anchor="end")
        for line, (_, name) in enumerate(rows)
    ]
    return _svg(width, height, parts, "上报情况")


def state_name(state: str) -> str:
    """A delivery state in words."""
    return {
        "in_force": "生效",
        "held": "暂缓",
        "held_behind": "新批次暂缓，旧批次仍生效",
        "missing": "未收到",
    }[state]


def month_columns(title: str, months: Sequence[str], cells: Sequence[tuple[float | None, str, str]]) -> str:
    """One column per month from zero, the last in the accent colour; cells are (value, label, tooltip).

    A month without a value has a gap and a dash. Labels stand above the columns, the scale is the chart's own.
    """
    width, height, left, top, bottom = 480.0, 150.0, 4.0, 44.0, 22.0
    found = [value for value, _, _ in cells if value is not None]
    largest = max(found, default=0.0) or 1.0
    step = (width - 2 * left) / max(len(months), 1)
    parts = [_text(left, 16, title, size=13, extra=' font-weight="700"')]
    floor = height - bottom
    parts.append(_line(left, floor, width - left, floor, stroke=MUTED, width=0.8))
    for index, (month, (value, label, tip)) in enumerate(zip(months, cells, strict=True)):
        middle = left + step * (index + 0.5)
        is_last = index == len(months) - 1
        shown = f"{month[2:4]}年" if index == 0 or month.endswith("-01") else ""
        parts.append(_text(middle, height - 6, shown + month[5:], size=10, anchor="middle", fill=MUTED))
        if value is None:
            parts.append(_text(middle, floor - 5, "—", size=11, anchor="middle", fill=MUTED))
            continue
        tall = max(1.0, value / largest * (floor - top)) if value else 0.0
        colour = ACCENT if is_last else "#a9bfd6"
        parts.append(_rect(middle - step * 0.36, floor - tall, step * 0.72, tall, colour, title=tip))
        parts.append(
            _text(
                middle, floor - tall - 4, label, size=9.5, anchor="middle", fill=INK if is_last else MUTED,
                extra=' font-weight="700"' if is_last else "",
            )
        )  # fmt: skip
    return _svg(width, height, parts, title)


def waterfall(
    label: str,
    before: tuple[str, float, str],
    steps: Sequence[tuple[str, float, str]],
    after: tuple[str, float, str],
) -> str:
    """From one total to another by steps, top to bottom; each entry is (name, value, text).

    The axis does not start at zero where that would hide the steps: it is broken, and says so.
    """
    width, left, right, row, head = 980.0, 150.0, 150.0, 30.0, 8.0
    levels, level = [before[1]], before[1]
    for _, value, _ in steps:
        level += value
        levels.append(level)
    low, high = min(*levels, after[1]), max(*levels, after[1])
    base = max(0.0, low - (high - low) * 0.6)
    scale = (width - left - right) / ((high - base) or 1)

    def x(value: float) -> float:
        return left + (value - base) * scale

    parts = []
    rows = [(before, base, before[1], "#9aa6b2")]
    for (name, value, text), start in zip(steps, levels, strict=False):
        rows.append(((name, value, text), start, start + value, "#c2410c" if value > 0 else "#2e7d5b"))
    rows.append((after, base, after[1], ACCENT))
    for number, ((name, _, text), start, end, colour) in enumerate(rows):
        y = head + number * row
        first, last = sorted((x(start), x(end)))
        parts += [
            _text(left - 10, y + 17, name, size=13, anchor="end"),
            _rect(first, y + 4, max(last - first, 1), row - 12, colour, title=f"{name} {text}"),
            _text(last + 8, y + 17, text, size=12, fill=INK),
        ]
        if 0 < number < len(rows) - 1:
            parts.append(_line(x(start), y - 8, x(start), y + 4, stroke=MUTED, dash="2 2"))
    bottom = head + len(rows) * row
    if base:
        parts.append(_text(left, bottom + 12, "横轴不从零开始", size=11, fill=MUTED))
    return _svg(width, bottom + 18, parts, label)


def strip(label: str, dots: Sequence[tuple[str, float, float]], middle: tuple[str, float], axis: str) -> str:
    """One dot per unit on one axis; dots are (name, value, size), the first stands out and is labelled.

    `middle` is (name, value) of the reference line. Dots that would cover each other are stacked.
    """
    width, left, right, axis_y = 980.0, 30.0, 30.0, 112.0
    ticks = nice_ticks(
        min(0.0, *(value for _, value, _ in dots)), max(0.0, *(value for _, value, _ in dots)), 7
    )
    scale = (width - left - right) / (ticks[-1] - ticks[0])

    def x(value: float) -> float:
        return left + (value - ticks[0]) * scale

    parts = [_line(left, axis_y, width - right, axis_y, stroke=MUTED)]
    for tick in ticks:
        parts += [
            _line(x(tick), axis_y, x(tick), axis_y + 5, stroke=MUTED),
            _text(x(tick), axis_y + 19, f"{tick * 100:+.0f}%" if tick else "0", anchor="middle", fill=MUTED),
        ]
    parts.append(_text(width - right, axis_y + 36, axis, anchor="end", size=11, fill=MUTED))
    parts += [
        _line(x(middle[1]), 34, x(middle[1]), axis_y, stroke=MUTED, dash="4 3"),
        _text(x(middle[1]), 28, middle[0], anchor="middle", size=11.5, fill=MUTED),
    ]
    placed: list[tuple[float, float]] = []
    for number, (name, value, size) in enumerate((dots[0], *sorted(dots[1:], key=lambda dot: dot[1]))):
        radius = max(3.5, min(11.0, math.sqrt(size) / 3))
        y = axis_y - 14.0
        while any(abs(x(value) - px) < 12 and abs(y - py) < 12 for px, py in placed) and y > 44:
            y -= 12
        placed.append((x(value), y))
        colour = "#c2410c" if number == 0 else "#8aa5c0"
        parts.append(
            f'<circle cx="{_n(x(value))}" cy="{_n(y)}" r="{_n(radius)}" fill="{colour}" fill-opacity="0.8">'
            f"<title>{escape(name)} {value * 100:+.1f}%</title></circle>"
        )
        if number == 0:
            anchor = "end" if x(value) > width * 0.7 else "start"
            shift = -radius - 5 if anchor == "end" else radius + 5
            parts.append(
                _text(
                    x(value) + shift,
                    y - 9,
                    f"{name} {value * 100:+.1f}%",
                    anchor=anchor,
                    fill="#93300b",
                    size=12.5,
                )
            )
    return _svg(width, axis_y + 42, parts, label)


def month_lines(
    label: str,
    months: Sequence[str],
    own: Sequence[float | None],
    peers: Sequence[float | None],
    names: tuple[str, str],
) -> str:
    """Two curves over months around 1; the second half of the months is shaded. A missing month breaks the curve."""
    width, height, left, right, top, bottom = 980.0, 240.0, 48.0, 120.0, 14.0, 30.0
    known = [value for value in (*own, *peers) if value is not None]
    if not known:
        return ""
    ticks = nice_ticks(min(0.95, *known), max(1.05, *known))
    step = (width - left - right) / max(len(months) - 1, 1)
    scale = (height - top - bottom) / (ticks[-1] - ticks[0])

    def y(value: float) -> float:
        return height - bottom - (value - ticks[0]) * scale

    middle = left + step * (len(months) / 2 - 0.5)
    parts = [_rect(middle, top, left + step * (len(months) - 1) - middle, height - top - bottom, "#f4f6f9")]
    for tick in ticks:
        parts += [
            _line(left, y(tick), width - right, y(tick), stroke=MUTED if tick == 1 else RULE),
            _text(left - 8, y(tick) + 4, f"{tick * 100:.0f}%", anchor="end", size=11, fill=MUTED),
        ]
    for index, month in enumerate(months):
        shown = f"{month[:4]}-{month[5:]}" if index % 6 == 0 else month[5:]
        parts.append(_text(left + step * index, height - 10, shown, size=10, anchor="middle", fill=MUTED))
    for values, colour, name in ((peers, "#5f8db8", names[1]), (own, "#c2410c", names[0])):
        last = None
        for index, value in enumerate(values):
            if value is None:
                last = None
                continue
            point = (left + step * index, y(value))
            if last:
                parts.append(_line(*last, *point, stroke=colour, width=2.2))
            parts.append(
                f'<circle cx="{_n(point[0])}" cy="{_n(point[1])}" r="3" fill="{colour}">'
                f"<title>{escape(name)} {months[index]} {value * 100:.1f}%</title></circle>"
            )
            last = point
        if last:
            parts.append(_text(last[0] + 8, last[1] + 4, name, size=12, fill=colour))
    return _svg(width, height, parts, label)


def sparkline(values: Sequence[float | None]) -> str:
    """A tiny column per year, the last one in the accent colour; heights from zero."""
    found = [value for value in values if value is not None]
    if len(found) < 2 or max(found) <= 0:
        return ""
    step, height, gap = 15.0, 24.0, 3.0
    parts = []
    for index, value in enumerate(values):
        if value is not None:
            tall = max(1.5, value / max(found) * height)
            colour = ACCENT if index == len(values) - 1 else "#b9c9d9"
            parts.append(_rect(index * step + gap / 2, height - tall, step - gap, tall, colour))
    return (
        f'<svg viewBox="0 0 {_n(step * len(values))} {_n(height)}" class="spark" aria-hidden="true">'
        + "".join(parts)
        + "</svg>"
    )
