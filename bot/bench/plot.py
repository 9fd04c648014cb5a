"""A bench's results as a picture. matplotlib is an extra of the package: `pip install 'swarm-build[bench]'`."""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bot.bench.built import COMPARED_RATE, Contender
from bot.bench.form import NO_DELAYS
from bot.bench.results import Results
from bot.bench.table import NAMES

FILE = "bench.png"
_COLOURS = {Contender.PRODUCT: "#2f6fde", Contender.ALONE: "#8a8f98", Contender.GUIDE: "#d9822b"}


def can_plot() -> bool:
    """Whether matplotlib is there."""
    return find_spec("matplotlib") is not None


def plot(results: Results, folder: Path) -> Path:
    """Draw whatever was measured into bench.png; its path."""
    import matplotlib as mpl  # noqa: PLC0415 - an extra: the bench runs without it

    mpl.use("agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415 - after the choice of the backend

    panels: list[tuple[bool, Callable[[Any, Results], None]]] = [
        (bool(results.built), _times),
        (any(results.compared(who) for who in Contender), _bars),
        (len(_sizes(results)) > 1, _workers),
        (bool(results.ready_s), _ready),
    ]
    shown = [draw for there, draw in panels if there]
    figure, axes = plt.subplots(1, max(len(shown), 1), figsize=(5.2 * max(len(shown), 1), 4.2), squeeze=False)
    for axis, draw in zip(axes[0], shown, strict=False):
        draw(axis, results)
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    file = folder / FILE
    figure.savefig(file, dpi=110, metadata={"Software": None})
    plt.close(figure)
    return file


def _times(axis: Any, results: Results) -> None:
    for who in Contender:
        mine = [
            e
            for e in results.built
            if (e.contender, e.issue, e.conditions) == (who, results.main, NO_DELAYS.name)
        ]
        if not mine:
            continue
        axis.scatter([e.path_s for e in mine], [e.seconds for e in mine], color=_COLOURS[who], zorder=3)
        label = NAMES[who]
        if line := results.fit(who):
            far = max(*(e.path_s for e in mine), *(e.path_at_80_s for e in mine))
            axis.plot([0, far], [line.at(0), line.at(far)], color=_COLOURS[who], alpha=0.6)
            label += f": {line.a_s:.1f} s + {line.beta:.2f} · T_LB"
        axis.plot([], [], color=_COLOURS[who], label=label)
    end = max(axis.get_xlim()[1], 1)
    axis.plot([0, end], [0, end], color="black", linewidth=0.8, linestyle=":", label="no overhead")
    axis.set(title="Wall time over the longest path", xlabel="T_LB, seconds", ylabel="T, seconds")
    axis.set_xlim(0)
    axis.set_ylim(0)
    axis.legend(fontsize=8, frameon=False)


def _bars(axis: Any, results: Results) -> None:
    found = [(who, one) for who in Contender if (one := results.compared(who))]
    bars = axis.bar(
        [NAMES[who] + (" (fit)" if one.fitted else "") for who, one in found],
        [one.seconds for _, one in found],
        color=[_COLOURS[who] for who, _ in found],
    )
    axis.bar_label(bars, [f"{one.seconds:.0f} s, ratio {one.ratio:.2f}" for _, one in found], fontsize=8)
    axis.tick_params(axis="x", labelsize=8)
    axis.set(title=f"{results.main} at {COMPARED_RATE:g} tokens/s", ylabel="T, seconds")


def _sizes(results: Results) -> list[tuple[int, float, float]]:
    return sorted(
        (each.workers, each.seconds, each.path_s)
        for each in results.built
        if each.issue.startswith("board-") and each.contender is Contender.PRODUCT
    )


def _workers(axis: Any, results: Results) -> None:
    sizes = _sizes(results)
    axis.plot(
        [size for size, _, _ in sizes],
        [t for _, t, _ in sizes],
        "o-",
        color=_COLOURS[Contender.PRODUCT],
        label="T",
    )
    axis.plot([size for size, _, _ in sizes], [lb for _, _, lb in sizes], "k:", label="T_LB")
    axis.set(title="Boards of equal tiles", xlabel="workers", ylabel="seconds")
    axis.set_ylim(0)
    axis.legend(fontsize=8, frameon=False)


def _ready(axis: Any, results: Results) -> None:
    counts = sorted(results.ready_s)
    axis.plot(counts, [results.ready_s[count] for count in counts], "o-", color=_COLOURS[Contender.PRODUCT])
    axis.set(title="Spawn to ready", xlabel="agents", ylabel="seconds")
    axis.set_xlim(0)
    axis.set_ylim(0)
