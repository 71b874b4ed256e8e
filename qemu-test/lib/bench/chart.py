# SPDX-License-Identifier: GPL-2.0
"""The results as a chart: what each device adds to one I/O, as bars in SVG.

Not those that encrypt, beside which all others would be too short to see.
"""

from xml.sax.saxutils import escape

import plan
import results

# Readable side by side, also without colours seen as such (Okabe and Ito's palette).
COLOURS = ("#0072b2", "#999999", "#d55e00", "#e69f00", "#009e73", "#cc79a7", "#56b4e9")
BAR, GAP, LEFT, WIDTH, NUMBER = 13, 12, 170, 760, 70
FONT = 'font-family="sans-serif" font-size="12"'


def text(x: float, y: float, words: str, more: str = "") -> str:
    """A piece of text."""
    return f'<text x="{x:.1f}" y="{y:.1f}" {FONT} fill="#222" {more}>{escape(words)}</text>'


def bar(y: float, length: float, colour: str, words: str) -> list[str]:
    """A bar and its figure."""
    width = max(length, 1)
    return [
        f'<rect x="{LEFT}" y="{y}" width="{width:.1f}" height="{BAR - 2}" fill="{colour}"/>',
        text(LEFT + width + 5, y + BAR - 3, words),
    ]


def panel(rows: dict[results.Key, results.Row], lower: str, top: float) -> tuple[list[str], float]:
    """The bars over one lower device; and where they end."""
    out = [text(10, top + 14, f"added to one I/O on {lower}, instructions", 'font-weight="bold"')]
    y = top + 30
    own = [row["added"] for key, row in rows.items() if key[0] == lower and key[1] != plan.RAW]
    scale = (WIDTH - LEFT - NUMBER) / max([1.0, *own])
    for work in plan.WORKLOADS:
        here = [(n, rows[lower, name, work.key()]) for n, name in enumerate(plan.DEVICES)
                if name != plan.RAW and (lower, name, work.key()) in rows]
        if not here:
            continue
        out.append(text(LEFT - 8, y + (BAR * len(here)) / 2 + 4, work.name(), 'text-anchor="end"'))
        for n, row in here:
            colour = COLOURS[(n - 1) % len(COLOURS)]
            out += bar(y, row["added"] * scale, colour, f"{row['added']:.0f}")
            y += BAR
        y += GAP
    return out, y


def chart(rows: list[results.Row]) -> str:
    """The whole picture."""
    found = {results.key_of(row): row for row in rows if row["device"] in plan.PLAIN}
    names = [name for name in plan.DEVICES if any(key[1] == name for key in found)]
    body, y = [], 34.0
    x = 10.0
    for name in names[1:]:
        colour = COLOURS[(plan.DEVICES.index(name) - 1) % len(COLOURS)]
        body.append(f'<rect x="{x}" y="10" width="12" height="12" fill="{colour}"/>')
        body.append(text(x + 17, 20, name))
        x += 40 + 8 * len(name)
    for lower in plan.LOWERS:
        if any(key[0] == lower for key in found):
            part, y = panel(found, lower, y)
            body += part
    return "\n".join([
        "<!-- SPDX-License-Identifier: GPL-2.0 -->",
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y:.0f}" '
        f'viewBox="0 0 {WIDTH} {y:.0f}">',
        f'<rect width="{WIDTH}" height="{y:.0f}" fill="#fff"/>',
        *body,
        "</svg>",
        "",
    ])
