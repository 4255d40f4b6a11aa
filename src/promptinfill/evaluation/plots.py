"""Plots of reports, as PNG bytes; matplotlib is opened only here (``promptinfill[report]``)."""

import io
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Any

_INK, _BLUE, _GREY, _RED = "#1f2933", "#2563a8", "#9aa5b1", "#b4413c"


def can_plot() -> bool:
    """Whether matplotlib is installed."""
    return find_spec("matplotlib") is not None


def _axes(width: float, height: float) -> tuple[Any, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors=_INK, labelsize=9)
    return figure, axes


def _png(figure: Any) -> bytes:
    out = io.BytesIO()
    # No date and no version inside: equal runs give equal pages.
    figure.savefig(out, format="png", metadata={"Software": None})
    return out.getvalue()


def intervals(
    rows: Sequence[tuple[str, float, float, float]], label: str, *, zero: bool = True
) -> bytes:
    """One line a row: name, figure, low, high; blue where the interval does not hold 0."""
    figure, axes = _axes(7.2, 0.34 * len(rows) + 0.9)
    for y, (_, value, low, high) in enumerate(reversed(rows)):
        colour = _BLUE if not zero or low > 0 or high < 0 else _GREY
        axes.plot([low, high], [y, y], color=colour, linewidth=2, solid_capstyle="round")
        axes.plot([value], [y], "o", color=colour, markersize=5)
    if zero:
        axes.axvline(0, color=_INK, linewidth=0.8)
    axes.set_yticks(range(len(rows)), [name for name, *_ in reversed(rows)])
    axes.set_xlabel(label, fontsize=9)
    axes.margins(y=0.06)
    return _png(figure)


def pairs_of_bars(names: Sequence[str], series: Mapping[str, Sequence[float]], label: str) -> bytes:
    """Groups of bars side by side, values in 0..1."""
    figure, axes = _axes(max(4.5, 0.75 * len(names) + 1.5), 3.2)
    width = 0.8 / len(series)
    for i, (name, values) in enumerate(series.items()):
        where = [x + (i - (len(series) - 1) / 2) * width for x in range(len(names))]
        axes.bar(where, values, width * 0.92, label=name, color=(_GREY, _BLUE, _RED)[i % 3])
    tilt = {"rotation": 30, "ha": "right"} if len(names) > 5 else {}
    axes.set_xticks(range(len(names)), names, **tilt)
    axes.set_ylim(0, 1.02)
    axes.set_ylabel(label, fontsize=9)
    axes.legend(
        frameon=False, fontsize=9, ncols=len(series), loc="lower right", bbox_to_anchor=(1, 1)
    )
    return _png(figure)


def heat_map(
    rows: Sequence[str], columns: Sequence[str], values: Sequence[Sequence[float]], label: str
) -> bytes:
    """A matrix of values in 0..1 with the numbers written in."""
    figure, axes = _axes(1.1 * len(columns) + 2.4, 0.6 * len(rows) + 1.6)
    shown = axes.imshow(values, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for y, line in enumerate(values):
        for x, value in enumerate(line):
            colour = "white" if value > 0.6 else _INK
            axes.text(x, y, f"{value:.2f}", ha="center", va="center", color=colour, fontsize=10)
    tilt = {"rotation": 20, "ha": "right"} if len(columns) > 3 else {}
    axes.set_xticks(range(len(columns)), [_tail(name) for name in columns], **tilt)
    axes.set_yticks(range(len(rows)), [_tail(name) for name in rows])
    axes.set_xlabel("used on", fontsize=9)
    axes.set_ylabel("filled by", fontsize=9)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    figure.colorbar(shown, label=label, shrink=0.85).outline.set_visible(False)
    return _png(figure)


def points(
    series: Mapping[str, Sequence[tuple[float, float]]], x_label: str, y_label: str
) -> bytes:
    """Scatter plot of named series."""
    figure, axes = _axes(5.2, 3.4)
    colours = (_BLUE, _GREY, _RED, "#3f8f5f", "#7a5ca8")
    for (name, values), colour in zip(series.items(), colours * len(series), strict=False):
        xs, ys = zip(*values, strict=True) if values else ((), ())
        axes.plot(xs, ys, "o", color=colour, label=name, alpha=0.8, markersize=5)
    axes.set_xlabel(x_label, fontsize=9)
    axes.set_ylabel(y_label, fontsize=9)
    axes.legend(frameon=False, fontsize=9)
    return _png(figure)


def lines(series: Mapping[str, Sequence[tuple[float, float]]], x_label: str, y_label: str) -> bytes:
    """Line plot of named series."""
    figure, axes = _axes(6.4, 3.2)
    for i, (name, values) in enumerate(series.items()):
        xs, ys = zip(*values, strict=True) if values else ((), ())
        axes.plot(xs, ys, label=name, color=(_BLUE, _GREY, _RED, _INK)[i % 4], linewidth=1.6)
    axes.set_xlabel(x_label, fontsize=9)
    axes.set_ylabel(y_label, fontsize=9)
    axes.legend(frameon=False, fontsize=9)
    return _png(figure)


def _tail(name: str, limit: int = 24) -> str:
    """The end of a long name: of a folder's path that is the part that tells it apart."""
    return name if len(name) <= limit else "…" + name[1 - limit :]
