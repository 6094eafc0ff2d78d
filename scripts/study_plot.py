"""Distributions as an SVG picture: one panel each, readable on light and dark pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

COLOURS = {
    "seeds": "#2a7fba",
    "accepted": "#2e9e5b",
    "rejected": "#d08a1d",
    "shuffled": "#c0443c",
}
_WIDTH, _HEIGHT, _LEFT, _TOP, _GAP = 860, 150, 28, 46, 44


@dataclass(frozen=True)
class Panel:
    """One set of distributions over the same axis; `line` is a threshold."""

    title: str
    values: Mapping[str, Sequence[float]]
    line: float | None


def histograms(panels: Sequence[Panel], low: float, high: float, unit: str, bins: int = 44) -> str:
    """Return an SVG with a panel below the other, shares of each set per bin."""
    height = _TOP + len(panels) * (_HEIGHT + _GAP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" '
        'font-family="system-ui, sans-serif" font-size="13" fill="#777">',
        *_legend(unit),
    ]
    for number, panel in enumerate(panels):
        parts += _panel(panel, _TOP + number * (_HEIGHT + _GAP), low, high, bins)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _legend(unit: str) -> list[str]:
    parts = []
    for place, (name, colour) in enumerate(COLOURS.items()):
        x = _LEFT + 130 * place
        parts.append(f'<rect x="{x}" y="10" width="14" height="14" fill="{colour}"/>')
        parts.append(f'<text x="{x + 20}" y="22">{name}</text>')
    x = _LEFT + 130 * len(COLOURS)
    parts.append(f'<path d="M{x} 17h18" stroke="#777" stroke-dasharray="4 3" stroke-width="2"/>')
    parts.append(f'<text x="{x + 24}" y="22">threshold</text>')
    parts.append(f'<text x="{_WIDTH - _LEFT}" y="22" text-anchor="end">{escape(unit)}</text>')
    return parts


def _panel(panel: Panel, top: int, low: float, high: float, bins: int) -> list[str]:
    def across(value: float) -> float:
        return _LEFT + (_WIDTH - 2 * _LEFT) * (min(max(value, low), high) - low) / (high - low)

    shares = {name: _shares(values, low, high, bins) for name, values in panel.values.items()}
    most = max((max(one) for one in shares.values()), default=1.0)
    bottom = top + _HEIGHT
    parts = [f'<text x="{_LEFT}" y="{top + 4}" font-weight="600">{escape(panel.title)}</text>']
    for name, own in shares.items():
        points = [f"{_LEFT},{bottom}"]
        for number, share in enumerate(own):
            y = bottom - (_HEIGHT - 16) * share / most
            edges = (low + (high - low) * (number + side) / bins for side in (0, 1))
            points += [f"{across(edge):.1f},{y:.1f}" for edge in edges]
        points.append(f"{_WIDTH - _LEFT},{bottom}")
        parts.append(
            f'<polygon points="{" ".join(points)}" fill="{COLOURS[name]}" fill-opacity="0.28" '
            f'stroke="{COLOURS[name]}" stroke-width="1.5"/>'
        )
    if panel.line is not None:
        x = across(panel.line)
        parts.append(
            f'<path d="M{x:.1f} {top + 12}V{bottom}" stroke="#777" stroke-width="2" '
            'stroke-dasharray="4 3"/>'
        )
        place = f'x="{x - 6:.1f}" y="{top + 22}" text-anchor="end"'
        parts.append(f"<text {place}>{panel.line:.2f}</text>")
    parts.append(f'<path d="M{_LEFT} {bottom}H{_WIDTH - _LEFT}" stroke="#777"/>')
    for tick in range(int(low), int(high) + 1):
        place = f'x="{across(tick):.1f}" y="{bottom + 17}" text-anchor="middle"'
        parts.append(f"<text {place}>{'≤ ' if tick == int(low) else ''}{tick}</text>")
    return parts


def _shares(values: Sequence[float], low: float, high: float, bins: int) -> list[float]:
    counts = [0] * bins
    for value in values:
        place = int((min(max(value, low), high) - low) / (high - low) * bins)
        counts[min(place, bins - 1)] += 1
    return [count / max(1, len(values)) for count in counts]
