"""Tables and the picture of table_oracle.py: data first, then Markdown and Vega-Lite."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ground_truth import interval
from oracles import Oracle
from pictures import write_picture
from searches.text import table

Array = NDArray[np.float64]
Found = Mapping[str, Any]

ABSOLUTE, RANDOM, LARGE_HARD = "absolute -0.10", "random search", "hard -1.00"
RATES = (ABSOLUTE, "constant rate, same sum", "constant rate, the first")
# The picture: one panel per reward, at the middle target.
PANELS = {"soft -0.07": ("soft", -0.07), "hard -0.10": ("hard", -0.10), ABSOLUTE: ("absolute", -0.10)}
_RATIOS, _ACCURACIES = (0.4, 1.8), (85.0, 94.0)
_CONTOURS, _CONTOUR_STEP = 6, 0.01


def of(found: Found, system: str, quantity: str) -> Array:
    """A quantity of a system ``[percentiles, seeds]``."""
    return np.array(found["systems"][system][quantity], dtype=np.float64)


def miss(found: Found, system: str) -> Array:
    """How far the method's own answers are from the target, as shares of it ``[percentiles, seeds]``."""
    return np.abs(of(found, system, "own_ratio") - 1)


def claims(found: Found) -> dict[str, dict[str, Any]]:
    """What section 4.2 and Finding 5 lead one to expect here: each with our figure and whether it holds."""
    absolute = float(miss(found, ABSOLUTE).mean())
    soft = {name: miss(found, name).mean(axis=1) for name in _soft(found)}
    worst = max(float(values.max()) for values in soft.values())
    best = min(float(values.mean()) for values in soft.values())
    hard = float(of(found, LARGE_HARD, "own_ratio").mean())
    less = (of(found, RANDOM, "regret") - of(found, ABSOLUTE, "regret")).mean(axis=0)
    low, high = interval(less, np.random.default_rng(0))
    return {
        "absolute_meets_the_target": {"mean_miss": absolute, "holds": absolute <= 0.04},
        "soft_misses_somewhere": {"largest_mean_miss": worst, "best_exponent_misses": best, "holds": worst > 0.10},
        "hard_and_large_undershoots": {"mean_ratio": hard, "holds": hard < 0.95},
        "regret_below_random": {"less": float(less.mean()), "interval": [low, high], "holds": low > 0},
    }


def _soft(found: Found) -> list[str]:
    return [name for name in found["systems"] if name.startswith("soft")]


# ---------------------------------------------------------------------- tables


def markdown(found: Found) -> str:
    """All tables."""
    parts = [
        f"{found['seeds']} seeds, {found['queries']:,} queries with noise of {found['noise_points']} points, targets "
        f"at the {', '.join(f'{p}th' for p in found['percentiles'])} percentile of the MACs. Costs are those of the "
        "method's own answer (the argmax), as shares of the target: mean ± standard deviation over seeds.",
        "## Rewards",
        _rewards(found),
        "Lack: accuracy lost to the best network that costs no more than the answer. Regret: accuracy that the "
        "returned network, always within the target, loses to the best one within it (95 % interval of the mean).",
        "## Table 9",
        _table9(found),
        "## A policy rate that grows",
        _rates(found),
        "Gap: cost of the argmax less the mean cost of the last tenth of the samples, as a share of the target.",
        "## Sum of rates and length of the search",
        _lengths(found),
        "Regret (mean miss; entropy at the end in nats). In few steps a large sum follows the noise of single samples, "
        "a small one leaves the policy undecided.",
        "## What the paper leads one to expect",
        _expectations(found),
    ]
    return "\n\n".join(parts) + "\n"


def _rewards(found: Found) -> str:
    header = ["system", *(f"cost at {p} %" for p in found["percentiles"]), "mean miss", "accuracy", "lack", "regret"]
    rows = []
    for name in found["systems"]:
        if name not in RATES[1:] and "queries" not in name:
            costs = [_spread(ratios) for ratios in of(found, name, "own_ratio")]
            quality = [f"{of(found, name, key).mean():.2f}" for key in ("own_accuracy", "own_lack")]
            rows.append([name, *costs, f"{100 * miss(found, name).mean():.1f} %", *quality, _regret(found, name)])
    return table(header, rows)


def _table9(found: Found) -> str:
    """Quality and cost of the two rewards of Table 9, targets pooled."""
    best = min(_soft(found), key=lambda name: float(miss(found, name).mean()))
    rows = [
        [
            "MnasNet-soft, -0.03 to -0.09",
            "76.2 ± 0.2",
            f"{_percent(79.5 / 84)} ± {_percent(3.3 / 84)}",
            *_pooled(found, _soft(found)),
        ],
        [f"of these the nearest ({best.split()[1]})", "-", "-", *_pooled(found, [best])],
        ["absolute", "76.4 ± 0.1", f"{_percent(84.1 / 84)} ± {_percent(0.4 / 84)}", *_pooled(found, [ABSOLUTE])],
    ]
    header = ["reward", "paper: accuracy", "paper: latency", "ours: accuracy", "ours: lack", "ours: cost", "searches"]
    return table(header, rows)


def _pooled(found: Found, names: Sequence[str]) -> list[str]:
    """Accuracy, lack and cost over all searches; spreads are within one target and exponent, and between exponents."""
    accuracy, lack, ratio = (
        np.array([of(found, name, key) for name in names]) for key in ("own_accuracy", "own_lack", "own_ratio")
    )  # [systems, percentiles, seeds]

    def spread(values: Array) -> float:
        return float(values.transpose(1, 0, 2).reshape(values.shape[1], -1).std(axis=1, ddof=1).mean())

    return [
        f"{accuracy.mean():.2f} ± {spread(accuracy):.2f}",
        f"{lack.mean():.2f}",
        f"{_percent(ratio.mean())} ± {_percent(spread(ratio))}",
        str(ratio.size),
    ]


def _rates(found: Found) -> str:
    header = ["rate", "gap, mean", "gap, mean size", "mean miss", "entropy at the end (nats)", "regret"]
    rows = []
    for name in RATES:
        gap = of(found, name, "own_ratio") - of(found, name, "sampled_ratio")
        rows.append(
            [
                "growing tenfold" if name == ABSOLUTE else name,
                f"{100 * gap.mean():+.1f} %",
                f"{100 * np.abs(gap).mean():.1f} %",
                f"{100 * miss(found, name).mean():.1f} %",
                f"{of(found, name, 'entropy_nats').mean():.2f}",
                _regret(found, name),
            ]
        )
    return table(header, rows)


def _lengths(found: Found) -> str:
    """Regret by the number of queries and the sum of rates, beside random search."""
    cells: dict[tuple[int, str], str] = {}
    for name in found["systems"]:
        column, _, length = name.partition(", ")
        if length.endswith("queries"):
            cells[int(length.split()[0]), column] = _regret_and_state(found, name)
    longest = max(n for n, _ in cells)
    cells[longest, "sum 150"], cells[longest, RANDOM] = (_regret_and_state(found, n) for n in (ABSOLUTE, RANDOM))
    columns = list(dict.fromkeys(column for _, column in cells))
    return table(
        ["queries", *columns],
        [[f"{n:,}", *(cells[n, column] for column in columns)] for n in sorted({n for n, _ in cells})],
    )


def _regret_and_state(found: Found, name: str) -> str:
    regret = f"{of(found, name, 'regret').mean():.3f}"
    if "entropy_nats" not in found["systems"][name]:
        return regret
    return f"{regret} ({_percent(miss(found, name).mean())}; {of(found, name, 'entropy_nats').mean():.1f})"


def _expectations(found: Found) -> str:
    c = claims(found)
    soft, random = c["soft_misses_somewhere"], c["regret_below_random"]
    sentences = {
        "absolute_meets_the_target": "The absolute reward ends within 4 % of the target without tuning: mean miss "
        f"{_percent(c['absolute_meets_the_target']['mean_miss'])}",
        "soft_misses_somewhere": "The soft reward misses by more than 10 % somewhere in its sweep: up to "
        f"{_percent(soft['largest_mean_miss'])} at one target; {_percent(soft['best_exponent_misses'])} over all "
        "targets with the exponent that suits them best",
        "hard_and_large_undershoots": "The hard reward with a large exponent stays below the target: mean cost "
        f"{_percent(c['hard_and_large_undershoots']['mean_ratio'])} of it",
        "regret_below_random": "Regret below that of random search with as many noisy queries: less by "
        f"{random['less']:.3f} points ({random['interval'][0]:.3f} to {random['interval'][1]:.3f})",
    }
    held = {True: "holds", False: "does NOT hold"}
    return "\n".join(f"- {sentence}: {held[c[name]['holds']]}." for name, sentence in sentences.items())


def _regret(found: Found, name: str) -> str:
    values = of(found, name, "regret").mean(axis=0)
    low, high = interval(values, np.random.default_rng(0))
    return f"{values.mean():.3f} ({low:.3f} to {high:.3f})"


def _spread(values: Array) -> str:
    return f"{values.mean():.3f} ± {values.std(ddof=1) if len(values) > 1 else 0:.3f}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def overview_rows(found: Found) -> list[list[str]]:
    """Rows for the table of recipes/README.md."""
    soft, absolute = (_pooled(found, names)[2] for names in (_soft(found), [ABSOLUTE]))
    setting = f"6,561 trained networks, {found['queries']:,} noisy queries, three targets, {found['seeds']} seeds"
    rows = [
        ["TuNAS, Table 9, cost over target, soft reward with exponents -0.03 to -0.09", "94.6 % ± 3.9 %", soft],
        ["TuNAS, Table 9, cost over target, absolute reward", "100.1 % ± 0.5 %", absolute],
        ["regret of TuNAS with the absolute reward (points, 95 % interval)", "-", _regret(found, ABSOLUTE)],
        ["regret of random search with as many queries (points, 95 % interval)", "-", _regret(found, RANDOM)],
    ]
    command = "`python recipes/tunas/table_oracle.py`"
    return [[*row, "same" if i else setting, "" if i else command] for i, row in enumerate(rows)]


# ---------------------------------------------------------------------- the picture


def draw(found: Found, oracle: Oracle, path: Path) -> None:
    """Figure 3 on this population: contours of the rewards, the frontier, and where searches end."""
    middle = found["percentiles"].index(50)
    target = found["targets"][middle]
    panels = [
        _panel(
            name, *reward, oracle, target, of(found, name, "own_ratio")[middle], of(found, name, "own_accuracy")[middle]
        )
        for name, reward in PANELS.items()
    ]
    write_picture(
        {"hconcat": panels, "title": "Contours of the rewards, all networks, and where searches end"}, path, 1.0
    )


def _panel(
    name: str, kind: str, exponent: float, oracle: Oracle, target: int, ratios: Array, accuracies: Array
) -> dict[str, Any]:
    x = {"field": "ratio", "type": "quantitative", "title": "MACs / target", "scale": {"domain": list(_RATIOS)}}
    y = {"field": "accuracy", "type": "quantitative", "title": "Accuracy (%)", "scale": {"domain": list(_ACCURACIES)}}
    shares = oracle.macs / target
    best = int(reward(kind, exponent, shares, oracle.means / 100).argmax())

    def layer(rows: list[dict[str, float]], mark: dict[str, Any], **encoding: Any) -> dict[str, Any]:
        return {"data": {"values": rows}, "mark": {"clip": True, **mark}, "encoding": {"x": x, "y": y, **encoding}}

    line = {"type": "line", "interpolate": "linear"}
    level = {"detail": {"field": "level", "type": "nominal"}}
    order = {"order": {"field": "ratio", "type": "quantitative"}}
    return {
        "title": name,
        "width": 300,
        "height": 300,
        "layer": [
            layer(_points(shares[::4], oracle.means[::4]), {"type": "circle", "size": 5, "color": "#c3ccd5"}),
            layer(
                contours(kind, exponent, best, shares, oracle.means), {**line, "color": "#8a97a5", "size": 1}, **level
            ),
            layer(frontier(shares, oracle.means), {**line, "interpolate": "step-after", "color": "#0072b2"}, **order),
            layer(_points(ratios, accuracies), {"type": "point", "filled": True, "size": 45, "color": "#d55e00"}),
            layer(
                _points(shares[[best]], oracle.means[[best]]),
                {"type": "point", "shape": "diamond", "filled": True, "size": 90, "color": "black"},
            ),
        ],
    }


def reward(kind: str, exponent: float, ratio: Any, quality: Any) -> Any:
    """The reward of a cost ratio and a quality in 0..1 (section 4.2), written apart from the method's code."""
    if kind == "absolute":
        return quality + exponent * np.abs(ratio - 1)
    factor = ratio**exponent
    return quality * (np.minimum(1, factor) if kind == "hard" else factor)


def contours(kind: str, exponent: float, best: int, shares: Array, means: Array) -> list[dict[str, float]]:
    """Lines of equal reward: the one through the best network, and below it in steps of 0.01."""
    top = float(reward(kind, exponent, shares[best], means[best] / 100))
    grid = np.linspace(*_RATIOS, 141)
    rows = []
    for n in range(-2, _CONTOURS):
        level = top - n * _CONTOUR_STEP
        if kind == "absolute":
            accuracy = 100 * (level - exponent * np.abs(grid - 1))
        else:
            accuracy = 100 * level / reward(kind, exponent, grid, 1.0)
        rows += [{"ratio": float(a), "accuracy": float(b), "level": n} for a, b in zip(grid, accuracy, strict=True)]
    return rows


def frontier(shares: Array, means: Array) -> list[dict[str, float]]:
    """The networks that nothing cheaper beats, by cost."""
    order = np.lexsort([-means, shares])
    best = np.maximum.accumulate(means[order])
    new = np.flatnonzero(np.diff(best, prepend=-np.inf) > 0)
    return _points(shares[order][new], best[new])


def _points(ratios: Array, accuracies: Array) -> list[dict[str, float]]:
    return [{"ratio": float(a), "accuracy": float(b)} for a, b in zip(ratios, accuracies, strict=True)]
