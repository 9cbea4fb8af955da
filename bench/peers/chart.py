"""The picture of the results: bars, in colours that can be read on a light page and on a dark one. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

WIDTH = 760
_LEFT = 260
"""Where bars begin; the names stand left of it."""

_RIGHT = 60
_ROW = 24
_BAR = 14
_HEAD = 40
_GAP = 14

TEXT = "#7a8490"
"""At least four to one against white, and against the dark grounds of code hosts."""
OURS = "#2f81d6"
OTHERS = "#8f99a5"
_LOOK = f'width="{WIDTH}" font-family="system-ui, sans-serif" font-size="13" fill="{TEXT}"'


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A name and its figure; `ours` is in colour."""

    name: str
    value: float
    ours: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """Bars under a title, in one scale."""

    title: str
    bars: Sequence[Bar]


def draw(panels: Sequence[Panel]) -> str:
    """The picture as SVG. Transparent, and without style sheets: pages that show it may not let these through."""
    panels = [panel for panel in panels if panel.bars]
    height = sum(_HEAD + _ROW * len(panel.bars) + _GAP for panel in panels)
    described = "; ".join(
        f"{panel.title}: " + ", ".join(f"{bar.name} {bar.value:.2f}" for bar in panel.bars) for panel in panels
    )
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" {_LOOK}>',
        f"<title>{escape(described)}</title>",
    ]
    top = 0
    for panel in panels:
        lines += _panel(panel, top)
        top += _HEAD + _ROW * len(panel.bars) + _GAP
    return "\n".join((*lines, "</svg>", ""))


def _panel(panel: Panel, top: int) -> list[str]:
    scale = (WIDTH - _LEFT - _RIGHT) / max(1.0, *(bar.value for bar in panel.bars))
    end = top + _HEAD + _ROW * len(panel.bars)
    one = f"{_LEFT + scale:.1f}"
    line = f'x1="{one}" y1="{top + _HEAD - 6}" x2="{one}" y2="{end - 4}"'
    lines = [
        f'<text x="0" y="{top + 20}" font-weight="600">{escape(panel.title)}</text>',
        f'<line {line} stroke="{TEXT}" stroke-dasharray="2 3"/>',
    ]
    for number, bar in enumerate(panel.bars):
        y = top + _HEAD + number * _ROW
        weight = ' font-weight="600"' if bar.ours else ""
        width = bar.value * scale
        figure = _LEFT + max(width, scale) + 6  # of a bar that ends before the line of one, behind that line
        lines += [
            f'<text x="{_LEFT - 10}" y="{y + 11}" text-anchor="end"{weight}>{escape(bar.name)}</text>',
            f'<rect x="{_LEFT}" y="{y}" width="{width:.1f}" height="{_BAR}" fill="{OURS if bar.ours else OTHERS}"/>',
            f'<text x="{figure:.1f}" y="{y + 11}"{weight}>{bar.value:.2f}</text>',
        ]
    return lines
