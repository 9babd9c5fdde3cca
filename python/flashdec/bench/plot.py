"""Results as a picture: percent of the probed read bandwidth, flashdec beside each contender."""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from typing import Any

from flashdec.bench.harness import Group
from flashdec.bench.machine import Machine
from flashdec.errors import InvalidArgumentError

__all__ = ["check_plot", "save_plot"]

_SUFFIXES = (".svg", ".png")
_OURS = "#0b6e4f"
_THEIRS = ("#4c72b0", "#8fa8d3", "#b9c8e3", "#dd8452", "#999999")


def check_plot(file: Path) -> None:
    """Refuse a plot that could not be saved, before anything is measured.

    Raises
    ------
    InvalidArgumentError
        If the name's ending is not known, or matplotlib is not installed.
    """
    if file.suffix.lower() not in _SUFFIXES:
        raise InvalidArgumentError(
            f"plot is {file.name!r}; its name must end in {' or '.join(_SUFFIXES)}"
        )
    if importlib.util.find_spec("matplotlib") is None:
        raise InvalidArgumentError(
            "matplotlib is not installed; `pip install flashdec[plot]` brings it"
        )


def save_plot(file: Path, machine: Machine, groups: list[Group]) -> None:
    """Draw horizontal bars, a band per case and number of threads, into an SVG or PNG file."""
    figure_class = importlib.import_module("matplotlib.figure").Figure
    names = list(dict.fromkeys(r.contender.name for group in groups for r in group.results))
    rows = len(groups) * (len(names) + 1)
    figure = figure_class(figsize=(9, 1.4 + 0.2 * rows), layout="constrained")
    axes = figure.subplots()
    height = 1 / (len(names) + 1)
    for index, name in enumerate(names):
        color = _OURS if index == 0 else _THEIRS[(index - 1) % len(_THEIRS)]
        _draw_bars(axes, groups, name, index * height, height, color)
    middle = (len(names) - 1) * height / 2
    axes.set_yticks([i + middle for i in range(len(groups))], [_label(g) for g in groups])
    axes.invert_yaxis()
    axes.axvline(100, color="black", linewidth=0.8)
    axes.set_xlim(left=0)
    axes.set_xlabel("K and V read per second, percent of the probed linear read bandwidth")
    axes.set_title(f"Decode attention on {machine.cpu}", loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    if len(names) > 1:
        axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    figure.savefig(file, dpi=200)


def _draw_bars(
    axes: Any, groups: list[Group], name: str, offset: float, height: float, color: str
) -> None:
    found = [
        (position, 100 * result.timing.fraction_of_read)
        for position, group in enumerate(groups)
        for result in group.results
        if result.contender.name == name
    ]
    bars = axes.barh(
        [position + offset for position, _ in found],
        [percent for _, percent in found],
        height=height,
        color=color,
        label=name,
    )
    axes.bar_label(bars, fmt="%.0f", padding=2, fontsize=7)


def _label(group: Group) -> str:
    plural = "s" if group.threads > 1 else ""
    return f"{group.case}\n{group.threads} thread{plural}"
