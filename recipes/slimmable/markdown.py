"""The figures of :mod:`slimmable.results` as Markdown, the paper's numbers in brackets."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

from searches import text
from searches.text import table
from slimmable.paper import SHARED_P6_P7
from slimmable.pieces import COLUMNS, PLATFORMS

_LAYERS = 14


def document(found: Mapping[str, Any]) -> str:
    """Everything, section by section."""
    seeds = ", ".join(map(str, found["seeds"]))
    head = (
        f"Size `{found['size']}`, seeds {seeds}. Mean ± standard deviation over seeds; the paper's number in brackets."
    )
    sections = {
        "Table 2: accuracy weighted by the importance of the platforms (%)": table2(found),
        "Table 2 as differences to Slim-U of the same seed (points)": gains(found),
        "Table 3: networks trained alone, weighted by U (%)": table3(found),
        "Accuracy by platform (%)": accuracies(found),
        "Layers of 14 in which neighbouring platforms have the same width": shared(found),
        "Budgets: share used by the found networks (%)": budgets(found),
        "Cost of search and training": costs(found),
        "MACs of the networks that the searches drew": sampled(found),
    }
    return text.document(head, sections)


def figure(value: Mapping[str, Any], sign: str = "") -> str:
    """``51.30 ± 0.42 (64.44)``; a dash for what is not known."""
    ours = "-" if value["mean"] is None else f"{value['mean']:{sign}.2f}"
    spread = "" if value["spread"] is None else f" ± {value['spread']:.2f}"
    published = "" if value["paper"] is None else f" ({value['paper']:{sign}.2f})"
    return ours + spread + published


def table2(found: Mapping[str, Any]) -> str:
    """Rows: weightings; columns: systems and samplings."""
    return table(
        ["", *COLUMNS], [[row, *(figure(cells[c]) for c in COLUMNS)] for row, cells in found["table2"].items()]
    )


def gains(found: Mapping[str, Any]) -> str:
    """The same as differences."""
    rows = [[row, *(figure(cells[c], "+") for c in COLUMNS[1:])] for row, cells in found["gains"].items()]
    return table(["", *COLUMNS[1:]], rows)


def table3(found: Mapping[str, Any]) -> str:
    """Original and found configurations, each network trained alone."""
    cells = [figure(found["table3"]["Slim"]), figure(found["table3"]["OWS"]), figure(found["table3_gain"], "+")]
    return table(["original", "OWS", "difference"], [cells])


def accuracies(found: Mapping[str, Any]) -> str:
    """Mean over seeds, network by network."""
    rows = []
    for name, by_seed in found["accuracies"].items():
        means = [sum(a[p] for a in by_seed.values()) / len(by_seed) for p in PLATFORMS]
        rows.append([name, str(len(by_seed)), *(f"{mean:.1f}" for mean in means)])
    return table(["network", "seeds", *PLATFORMS], rows)


def shared(found: Mapping[str, Any]) -> str:
    """Mean over seeds of the counts of equal widths."""
    pairs = [f"{a}/{b}" for a, b in itertools.pairwise(PLATFORMS)]
    rows = []
    for name, by_seed in found["searches"].items():
        counts = [sum(s["shared"][i] for s in by_seed.values()) / len(by_seed) for i in range(len(pairs))]
        rows.append([name, *(f"{count:g}" if count % 1 == 0 else f"{count:.1f}" for count in counts)])
    note = f"The paper: {SHARED_P6_P7} of {_LAYERS} for p6/p7 found by OWS."
    return f"{table(['widths', *pairs], rows)}\n\n{note}"


def budgets(found: Mapping[str, Any]) -> str:
    """Share of the budget that a found network uses, lowest and highest over seeds; never above 100."""
    limits = {p["name"]: p["macs"] for p in found["platforms"]}
    rows = []
    for name, by_seed in found["searches"].items():
        if name != "original":
            shares = {p: [100 * s["macs"][p] / limits[p] for s in by_seed.values()] for p in PLATFORMS}
            rows.append([name, *(f"{min(v):.2f} - {max(v):.2f}" for v in shares.values())])
    return table(["search", *PLATFORMS], rows)


def costs(found: Mapping[str, Any]) -> str:
    """Trained pictures (every pass over a picture counts) and seconds."""
    rows = [
        [name, *("-" if value is None else f"{value:,.0f}" for value in (c["images"], c["cpu_seconds"], c["seconds"]))]
        for name, c in found["costs"].items()
    ]
    return table(["", "trained pictures", "CPU seconds", "seconds"], rows)


def sampled(found: Mapping[str, Any]) -> str:
    """First and last tenth of every search, in thousands of MACs: AOWS should move towards the budgets."""
    rows = []
    for name, by_seed in found["searches"].items():
        for seed, content in by_seed.items():
            if "sampled_macs" in content:
                ends = (content["sampled_macs"][0], content["sampled_macs"][-1])
                shown = [f"{e['mean'] / 1e3:,.0f} ({e['q05'] / 1e3:,.0f} - {e['q95'] / 1e3:,.0f})" for e in ends]
                rows.append([name, seed, *shown])
    return table(["search", "seed", "first tenth: mean (5 - 95 %)", "last tenth"], rows)
