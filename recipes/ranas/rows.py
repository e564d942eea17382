"""The rows of MS-RANAS in the table of recipes/README.md: the paper's figures beside ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ranas.anytime_figures import GROUPS, batches_within, deviation
from ranas.costs import share
from searches.text import interval, shown, spread

Row = list[str]
_COMMAND = "`python recipes/ranas/{}.py --size {} ...`"


def anytime_rows(found: Mapping[str, Any], machine: str) -> list[Row]:
    """Areas of every group, the comparisons, and the batches on a budget."""
    size = found["size"]
    low, high = (end / 1e6 for end in size["area"])
    groups = {name: group for name, group in found["groups"].items() if group["networks"]}
    rows = [
        [
            f"MS-RANAS, area under the any-time curve, {GROUPS[name]} (%)",
            "- (plots only)",
            f"{spread(group['areas']['ensemble'])} (last exit {spread(group['last']['ensemble'])})",
            f"{low:g} to {high:g} any-time MMACs, running mean of exits, {group['areas']['single']['count']} networks",
            "",
        ]
        for name, group in groups.items()
    ]
    rows += [
        [
            f"MS-RANAS, {GROUPS[q['ours']]}, minus {GROUPS[q['theirs']].split(': ')[1]} (points, 95 % interval)",
            q["paper"],
            interval(q["areas"]["ensemble"]),
            "areas, as above",
            "",
        ]
        for q in found["questions"]
        if q["areas"]["ensemble"]["mean"] is not None
    ]
    return _headed(
        [*rows, *_batch_rows(found)], f"size `{size['name']}`, {machine}", _COMMAND.format("anytime", size["name"])
    )


def _batch_rows(found: Mapping[str, Any]) -> list[Row]:
    networks = [
        n for name in ("cifar10", "cifar100") for n in found["groups"][name]["networks"].values() if n["batches"]
    ]
    if not networks:
        return []
    counts = ", ".join(f"{batches_within(n)} of {len(n['batches'])}" for n in networks)
    worst = max(abs(deviation(batch)) for n in networks for batch in n["batches"])
    setting = f"thresholds from {found['size']['selection']:,} pictures held back, 10,000 test pictures, cells found"
    title = "MS-RANAS, batches on a budget: mean costs realised within 3 %"
    return [[title, "-", f"{counts} budgets; the worst is {worst:.1f} % off", setting, ""]]


def ablation_rows(found: Mapping[str, Any], machine: str) -> list[Row]:
    """One row per question of Figures 4 to 6 that has an answer."""
    size = found["size"]["name"]
    rows = []
    for q in found["questions"]:
        if q["last"]["mean"] is None:
            continue
        several = q["ensemble_area"]["mean"] is not None
        ours = f"last exit {interval(q['last'])}" + (f"; area {interval(q['ensemble_area'])}" if several else "")
        counts = [len(found["trainings"][q[side]]["networks"]) for side in ("changed", "base")]
        rows.append(
            [
                f"MS-RANAS, Figure {q['title']} (points, 95 % interval)",
                q["paper"],
                ours,
                f"{counts[0]} against {counts[1]} searches",
                "",
            ]
        )
    return _headed(rows, f"size `{size}`, {machine}", _COMMAND.format("ablations", size))


def collapse_rows(found: Mapping[str, Any], machine: str) -> list[Row]:
    """Skips of the normal cell, per search."""
    size = found["size"]["name"]
    rows = [
        [
            f"{{skip, sep 3x3}}, search `{name}`: skips of the {found['kept_edges']} edges of the normal cell",
            "-",
            f"{', '.join(map(str, group['skips'].values()))} (trained: {spread(group['accuracy'])} %)",
            f"{len(group['skips'])} searches",
            "",
        ]
        for name, group in found["groups"].items()
        if group["skips"]
    ]
    return _headed(rows, f"size `{size}`, {machine}", _COMMAND.format("collapse", size))


def cost_rows(found: Mapping[str, Any]) -> list[Row]:
    """The first exit's share, and the axis of Figures 9 and 10."""
    exits = found["ablation"]["3"]
    low, middle, high = (100 * q for q in found["random_shares"])
    command = "`python recipes/ranas/costs.py`"
    rows = [
        [
            "MS-RANAS, section 4.3: first exit's share of the last one's MACs, parameters (%)",
            f"{100 * found['paper_share']:g}, {100 * found['paper_share']:g}",
            f"{100 * share(exits, 'macs'):.1f}, {100 * share(exits, 'params'):.1f}",
            f"exact; three scales, cells of DARTS (MACs of random cells: {low:.0f} to {high:.0f}, median {middle:.0f})",
            command,
        ]
    ]
    for classes, crossing in found["crossings"].items():
        ours, theirs = (found[name][classes] for name in ("final", "msdnet"))
        axis = ", ".join(shown(exit["macs"] / 1e8) for exit in ours)
        rows.append(
            [
                f"MS-RANAS, axis of Figure {9 if classes == '10' else 10} (1e8 MACs): exits of the final network",
                f"crosses MSDNet at {crossing:g}",
                axis,
                f"exact; network R, {ours[-1]['params'] / 1e6:.2f} M parameters "
                f"(MSDNet: {theirs[-1]['params'] / 1e6:.2f} M, {theirs[0]['macs'] / 1e8:.2f} to "
                f"{theirs[-1]['macs'] / 1e8:.2f})",
                "",
            ]
        )
    return rows


def _headed(rows: list[Row], setting: str, command: str) -> list[Row]:
    """Rows of which the first names the setting and the command."""
    return [
        [*row[:3], f"{setting}, {row[3]}" if i == 0 else f"same, {row[3]}", command if i == 0 else ""]
        for i, row in enumerate(rows)
    ]
