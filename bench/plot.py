"""A picture of the tables: bars on a logarithmic scale, as SVG, by hand."""

import math
from xml.sax.saxutils import escape

WIDTH, LEFT, RIGHT, BAR, GAP = 900, 330, 110, 18, 8
COLORS = {"floor": "#9aa5b1", "roger": "#1f6f54", "peer": "#b5651d"}
FONT = "font-family='Helvetica, Arial, sans-serif'"


def decades(values):
    """The powers of ten that hold all values: (lowest exponent, highest)."""
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return low, max(high, low + 1)


def power(exponent):
    names = {0: "1", 1: "10", 2: "100", 3: "1 thousand", 4: "10 thousand", 5: "100 thousand", 6: "1 million", 7: "10 million",
             8: "100 million"}
    return names.get(exponent, f"1e{exponent}")


def panel(top, title, bars, show):
    """One diagram. `bars` are (label, kind, value); those without a value are left out. Returns (lines of SVG, its end)."""
    bars = [bar for bar in bars if bar[2]]
    if not bars:
        return [], top
    low, high = decades([value for _, _, value in bars])
    scale = (WIDTH - LEFT - RIGHT) / (high - low)
    bottom = top + 44 + len(bars) * (BAR + GAP)
    out = [f"<text x='20' y='{top + 16}' {FONT} font-size='15' font-weight='bold'>{escape(title)}</text>"]
    for exponent in range(low, high + 1):
        x = LEFT + (exponent - low) * scale
        out.append(f"<line x1='{x:.1f}' y1='{top + 34}' x2='{x:.1f}' y2='{bottom}' stroke='#d9dee3'/>")
        out.append(f"<text x='{x:.1f}' y='{bottom + 14}' {FONT} font-size='11' text-anchor='middle' fill='#555'>{power(exponent)}</text>")
    for index, (label, kind, value) in enumerate(bars):
        y = top + 40 + index * (BAR + GAP)
        length = max(2, (math.log10(value) - low) * scale)
        out.append(f"<text x='{LEFT - 8}' y='{y + 13}' {FONT} font-size='12' text-anchor='end'>{escape(label)}</text>")
        out.append(f"<rect x='{LEFT}' y='{y}' width='{length:.1f}' height='{BAR}' fill='{COLORS[kind]}'/>")
        out.append(f"<text x='{LEFT + length + 6:.1f}' y='{y + 13}' {FONT} font-size='12'>{escape(show(value))}</text>")
    return out, bottom + 36


def svg(panels):
    """`panels` are (title, bars, show)."""
    lines, top = [], 20
    for title, bars, show in panels:
        more, top = panel(top, title, bars, show)
        lines += more
    head = f"<svg xmlns='http://www.w3.org/2000/svg' width='{WIDTH}' height='{top}' viewBox='0 0 {WIDTH} {top}'>"
    return "\n".join([head, f"<rect width='{WIDTH}' height='{top}' fill='white'/>", *lines, "</svg>", ""])
