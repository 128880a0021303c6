"""How every figure looks: titles hold the number that matters, and the same result gives the same bytes."""

from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, fontManager, get_font
from matplotlib.ticker import FuncFormatter, MaxNLocator

from pipeline.project.files import write_atomically

if TYPE_CHECKING:
    from matplotlib.typing import RcKeyType

GOOD, BAD, GREY = "#2f6db5", "#c8342c", "#8a8f98"
FONT = "DejaVu Sans"  # comes with matplotlib; has no Chinese, Japanese or Korean
# Fonts that have, the first that is installed; where none is, a label that needs one is shown by its number
EASTERN = (
    "Noto Sans CJK SC", "Noto Sans SC", "Source Han Sans SC", "Source Han Sans CN", "WenQuanYi Micro Hei",
    "WenQuanYi Zen Hei", "Microsoft YaHei", "SimHei", "PingFang SC", "Hiragino Sans GB", "Droid Sans Fallback",
)  # fmt: skip
STYLE: "dict[RcKeyType, Any]" = {
    "axes.axisbelow": True,
    "axes.edgecolor": GREY,
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 11,
    "figure.dpi": 100,
    "font.size": 10,
    "grid.color": "#e4e6ea",
    "legend.frameon": False,
}
THOUSANDS = FuncFormatter(lambda value, _: f"{value:,.0f}")


@cache
def families() -> list[str]:
    installed = {font.name for font in fontManager.ttflist}
    return [FONT, *[name for name in EASTERN if name in installed][:1]]


@cache
def glyphs() -> frozenset[int]:
    """Code points that can be drawn."""
    return frozenset().union(*(get_font(findfont(name)).get_charmap() for name in families()))


def shown(labels: list[str], longest: int = 24) -> list[str]:
    """Labels as a figure can show them: short, of one line, no mathematics; `#7` is class 7 that no font here has."""
    return [shown_alone(label, number, longest) for number, label in enumerate(labels)]


def shown_alone(label: str, number: int, longest: int) -> str:
    text = " ".join(label.split())
    if not text or not glyphs().issuperset(map(ord, text)):
        return f"#{number}"
    if len(text) > longest:
        text = f"{text[: longest - longest // 3 - 1]}…{text[len(text) - longest // 3 :]}"
    return text.replace("$", r"\$")


def share(value: float) -> str:
    """0.98765 → 98.77%; what is not quite 100% never reads as 100%."""
    return f"{min(value, 0.9999) if value < 1 else 1:.2%}"


def write(folder: Path, draw: Callable[[], dict[str, Figure]]) -> list[Path]:
    """Draws in this style, and leaves `folder` with these figures alone."""
    with matplotlib.rc_context({**STYLE, "font.family": families()}):
        paths = {folder / f"{name}.png": figure for name, figure in draw().items()}
        for path, figure in paths.items():
            write_atomically(path, partial(save, figure))
    for old in set(folder.glob("*.png")) - set(paths):  # of another task, scored here before
        old.unlink()
    return list(paths)


def save(figure: Figure, path: Path) -> None:
    figure.savefig(path, format="png", metadata={"Software": None})


def curves(history: list[dict[str, Any]], best_epoch: int, score: str) -> Figure:
    """The loss and the task's `score` by epoch; train's score only where the history has it."""
    figure = Figure((10, 4.2), layout="constrained")
    for axes, name in zip(figure.subplots(1, 2), ("loss", score), strict=True):
        curve(axes, history, best_epoch, name)
    return figure


def curve(axes: Axes, history: list[dict[str, Any]], best_epoch: int, name: str) -> None:
    epochs = [entry["epoch"] for entry in history]
    best = next(entry for entry in history if entry["epoch"] == best_epoch)[f"val/{name}"]
    for split, colour in (("train", GREY), ("val", GOOD)):
        if f"{split}/{name}" in history[0]:
            axes.plot(epochs, [entry[f"{split}/{name}"] for entry in history], ".-", color=colour, label=split)
    axes.plot(best_epoch, best, "o", ms=9, mfc="none", color=BAD, label=f"best epoch, {best_epoch}")
    said = {"mae": "Mean absolute error", "ndcg_10": "NDCG@10"}.get(name, name.capitalize())
    axes.set(title=f"{said}: val {best:.4g} at epoch {best_epoch}", xlabel="epoch")
    axes.set_xlim(epochs[0] - 0.5, epochs[-1] + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.legend()
