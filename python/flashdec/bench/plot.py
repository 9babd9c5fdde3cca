"""Results as a picture: percent of the read bandwidth, flashdec beside each contender."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flashdec.bench.harness import Group
from flashdec.errors import InvalidArgumentError

__all__ = ["Band", "bands_of_groups", "check_plot", "save_plot"]

_SUFFIXES = (".svg", ".png")
_OURS = ("#0b6e4f", "#58a68a", "#a5d1c0")
_THEIRS = ("#4c72b0", "#8fa8d3", "#b9c8e3", "#dd8452", "#999999")


@dataclass(frozen=True, slots=True)
class Band:
    """The bars of one case.

    Attributes
    ----------
    label : str
        The case.
    percents : dict
        Percent of the read bandwidth, by contender.
    """

    label: str
    percents: dict[str, float]


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
            "matplotlib is not installed; `pip install matplotlib` brings it"
        )


def save_plot(file: Path, title: str, axis: str, bands: Sequence[Band]) -> None:
    """Draw horizontal bars, a band per case, into an SVG or PNG file.

    Parameters
    ----------
    file : Path
        Where.
    title, axis : str
        What stands above the picture and below it.
    bands : sequence of Band
        From top to bottom.
    """
    figure_class = importlib.import_module("matplotlib.figure").Figure
    names = list(dict.fromkeys(name for band in bands for name in band.percents))
    rows = len(bands) * (len(names) + 1)
    figure = figure_class(figsize=(9, 1.4 + 0.2 * rows), layout="constrained")
    axes = figure.subplots()
    height = 1 / (len(names) + 1)
    for index, (name, color) in enumerate(_colors(names).items()):
        _draw_bars(axes, bands, name, index * height, height, color)
    middle = (len(names) - 1) * height / 2
    axes.set_yticks([i + middle for i in range(len(bands))], [band.label for band in bands])
    axes.invert_yaxis()
    axes.axvline(100, color="black", linewidth=0.8)
    axes.set_xlim(left=0)
    axes.set_xlabel(axis)
    axes.set_title(title, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    if len(names) > 1:
        axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    figure.savefig(file, dpi=200)


def _colors(names: list[str]) -> dict[str, str]:
    """Give flashdec's bars one family of colors, and the others' another."""
    ours = [name for name in names if name.startswith("flashdec")]
    theirs = [name for name in names if name not in ours]
    return {
        name: family[index % len(family)]
        for chosen, family in ((ours, _OURS), (theirs, _THEIRS))
        for index, name in enumerate(chosen)
    }


def _draw_bars(
    axes: Any, bands: Sequence[Band], name: str, offset: float, height: float, color: str
) -> None:
    found = [
        (position, band.percents[name])
        for position, band in enumerate(bands)
        if name in band.percents
    ]
    bars = axes.barh(
        [position + offset for position, _ in found],
        [percent for _, percent in found],
        height=height,
        color=color,
        label=name,
    )
    axes.bar_label(bars, fmt="%.0f", padding=2, fontsize=7)


def bands_of_groups(groups: Sequence[Group]) -> list[Band]:
    """Return a band per case and number of threads."""
    return [
        Band(
            f"{group.case}\n{group.threads} thread{'s' if group.threads > 1 else ''}",
            {
                result.contender.name: 100 * result.timing.fraction_of_read
                for result in group.results
            },
        )
        for group in groups
    ]
