"""The report as plain data: everything the page says, computed and tested without drawing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sartor.errors import RequestError
from sartor.report import words
from sartor.report.anytime import Anytime, anytime
from sartor.report.beliefs import Beliefs, beliefs, thinned
from sartor.report.cells import DrawnCell, cells
from sartor.report.curves import CurvePoint, curves
from sartor.report.decisions import Choice, Shared, Width, choices, shared, widths
from sartor.report.latency import LatencyRow, latency_rows
from sartor.report.network import Networks, networks
from sartor.report.own import OwnAnswer, own_answers
from sartor.report.rows import (
    SPLITS,
    PlatformRow,
    SystemRow,
    costs_of,
    has_predictions,
    platform_rows,
    system_rows,
    uniform_baseline,
)
from sartor.report.schema import FORMAT_VERSION, AnyMetric, AnyResult
from sartor.report.search import SearchCurves, SearchRow, search_curves, search_rows

# A page of a megabyte has room for this many random architectures.
MAX_CLOUD = 800
CLOUD = "random cloud"
TRIED = ", tried"


@dataclass(frozen=True)
class Point:
    """A network in the picture of accuracy against cost."""

    series: str
    role: str  # "ours", "baseline" or "cloud"
    platform: str | None
    costs: dict[str, float]
    accuracies: dict[str, float | None]  # by split; for the cloud the same under every split
    loss: float | None = None


@dataclass(frozen=True)
class ReportData:
    """What the page shows, in the order of the page."""

    title: str
    subtitle: str
    method: str
    platforms: tuple[PlatformRow, ...]
    systems: tuple[SystemRow, ...]
    against: str | None  # the baseline that ours is held against
    points: tuple[Point, ...]
    widths: tuple[Width, ...]
    choices: tuple[Choice, ...]
    all_widths: bool  # every decision is a width
    shared: tuple[Shared, ...]
    networks: Networks
    cells: tuple[DrawnCell, ...]
    anytime: Anytime | None
    latencies: tuple[LatencyRow, ...]
    search: SearchCurves
    search_rows: tuple[SearchRow, ...]
    beliefs: Beliefs
    own: tuple[OwnAnswer, ...]
    curves: tuple[CurvePoint, ...]
    facts: tuple[tuple[str, str], ...]
    notes: dict[str, tuple[str, ...]]  # section -> sentences about what is absent or should be known
    warnings: tuple[str, ...]
    environment: dict[str, Any]
    configuration: dict[str, Any]
    result: dict[str, Any] = field(repr=False)

    @property
    def costs(self) -> tuple[str, ...]:
        """The costs that at least one platform has, MACs first."""
        present = dict.fromkeys(cost for row in self.platforms for cost in row.costs)
        first = [cost for cost in ("macs", "params", "peak_memory_bytes", "latency_ms") if cost in present]
        return (*first, *(cost for cost in present if cost not in first))

    @property
    def predicted_on(self) -> str | None:
        """The device that the latencies are predicted for, where it is one."""
        devices = {row.device for row in self.platforms if row.predicted_ms is not None and row.device}
        return devices.pop() if len(devices) == 1 else None

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits on which at least one platform was judged, test first."""
        return tuple(split for split in SPLITS if any(r.accuracies[split] is not None for r in self.platforms))


def build(result: AnyResult, metrics: Iterable[AnyMetric]) -> ReportData:
    """The data of a report, from ``result.json`` and the lines of ``metrics.jsonl``.

    Raises:
        RequestError: for another format version, or a result without platforms.
    """
    clean: dict[str, Any] = words.finite(dict(result))
    _check(clean)
    systems = system_rows(clean)
    against = uniform_baseline(systems)
    drawn = [systems[0]] if against is None else [systems[0], against]
    cloud = _thinned(clean.get("cloud") or [])
    clean["cloud"] = cloud
    kinds = {decision.get("kind") for decision in (clean.get("space") or {}).get("decisions") or []}
    points = _points(clean, systems[0].name, cloud)
    log = list(metrics)
    lines = curves(log)
    drawn_cells = cells(clean["platforms"][0]["architecture"])
    # The blocks of a network of cells are the same few operations over and over.
    found = Networks() if drawn_cells else networks(clean, systems[0].name)
    search = search_curves(log, [platform["name"] for platform in clean["platforms"]])
    believed = beliefs(clean)
    own = own_answers(clean, believed)
    platforms = platform_rows(clean, systems[0], against)
    # Every snapshot is in the run's own result.json; the page draws what beliefs made of them.
    clean["policy"] = {name: thinned(trace, 2) for name, trace in (clean.get("policy") or {}).items()}
    return ReportData(
        title=clean["name"],
        subtitle=_subtitle(clean),
        method=systems[0].name,
        platforms=platforms,
        systems=systems,
        against=against.name if against else None,
        points=points,
        # Where there is a table of blocks, widths are expansions too, and channels stand in the table.
        widths=() if found.cells or drawn_cells else widths(clean, drawn),
        choices=choices(clean),
        all_widths=kinds == {"width"},
        shared=() if drawn_cells else shared(clean, systems[0], against, found.same),
        networks=found,
        cells=drawn_cells,
        anytime=anytime(clean, systems[0].name),
        latencies=latency_rows(clean),
        search=search,
        search_rows=search_rows(clean["method"], search, believed, platforms, own),
        beliefs=believed,
        own=own,
        curves=lines,
        facts=_facts(clean),
        notes=_notes(clean, systems, against, lines, len(result.get("cloud") or [])),
        warnings=tuple(str(warning) for warning in clean.get("warnings") or []),
        environment=clean.get("environment") or {},
        configuration=clean.get("configuration") or {},
        result=clean,
    )


def _check(result: Mapping[str, Any]) -> None:
    version = result.get("format_version")
    if version != FORMAT_VERSION:
        raise RequestError(f"result.json has format_version {version!r}; this version reads {FORMAT_VERSION}")
    missing = [key for key in ("name", "method", "platforms") if not result.get(key)]
    if missing:
        raise RequestError(f"result.json lacks {words.listed(missing)}: is the run finished?")
    for number, platform in enumerate(result["platforms"], start=1):
        missing = [key for key in ("name", "architecture") if not platform.get(key)]
        if missing:
            raise RequestError(f"result.json: platform {number} lacks {words.listed(missing)}")


def _points(result: Mapping[str, Any], ours: str, cloud: Sequence[Mapping[str, Any]]) -> tuple[Point, ...]:
    found: list[Point] = []
    predicted = has_predictions(result)
    systems = [(ours, "ours", result["platforms"])]
    systems += [(b["name"], "baseline", b.get("platforms") or []) for b in result.get("baselines") or []]
    for series, role, platforms in systems:
        for platform in platforms:
            accuracies = {split: platform.get(key) for split, key in SPLITS.items()}
            loss = platform.get("predicted_loss")
            found.append(Point(series, role, platform["name"], costs_of(platform, predicted), accuracies, loss))
            found += [_tried(series, entry) for entry in platform.get("tried") or []]
    for entry in cloud:
        costs = {k: v for k, v in entry.items() if k not in ("accuracy", "loss") and isinstance(v, int | float)}
        accuracies = dict.fromkeys(SPLITS, entry.get("accuracy"))
        found.append(Point(CLOUD, "cloud", None, costs, accuracies, entry.get("loss")))
    return tuple(found)


def _tried(series: str, entry: Mapping[str, Any]) -> Point:
    """A network that a baseline trained for a short while, to see whether it is worth more."""
    accuracies = {"test": None, "validation": entry.get("val_accuracy")}
    return Point(f"{series}{TRIED}", "cloud", None, costs_of(entry), accuracies)


def _thinned(cloud: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """At most ``MAX_CLOUD`` points, evenly spaced in the order drawn."""
    if len(cloud) <= MAX_CLOUD:
        return list(cloud)
    return [cloud[k * len(cloud) // MAX_CLOUD] for k in range(MAX_CLOUD)]


def _subtitle(result: Mapping[str, Any]) -> str:
    space, data = result.get("space") or {}, result.get("data") or {}
    parts = [words.method_name(result["method"])]
    if space.get("name"):
        count = f" ({words.big_count(space['cardinality'])} networks)" if space.get("cardinality") else ""
        parts.append(f"space {space['name']}{count}")
    if data.get("source"):
        parts.append(f"data {data['source']}")
    return " · ".join([*parts, f"seed {result.get('seed', 'not recorded')}"])


def _facts(result: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Labelled figures of the run as a whole."""
    data, found = result.get("data") or {}, []
    classes = data.get("classes")
    if classes:
        found.append(("Classes", str(len(classes) if isinstance(classes, list) else classes)))
    sizes = {"Picture size": data.get("image_size"), "Shipped for": data.get("deploy_image_size")}
    for name, side in sizes.items():
        if side and (name == "Picture size" or side != sizes["Picture size"]):
            sides = side if isinstance(side, list) else [side, side]
            found.append((name, " \N{MULTIPLICATION SIGN} ".join(map(str, sides))))
    for name, count in (data.get("counts") or {}).items():
        if count is not None:
            found.append((f"Pictures: {name}", f"{count:,}"))
    found.append(("Search", words.duration(result.get("search_seconds"))))
    found.append(("Training", words.duration(result.get("train_seconds"))))
    for stage, images in (result.get("images_trained") or {}).items():
        found.append((f"Pictures trained: {stage}", words.MISSING if images is None else f"{images:,}"))
    if data.get("normalisation"):
        found.append(("Normalisation", _short(data["normalisation"])))
    return tuple(found)


def _short(value: Any) -> str:
    """Nested numbers with four digits."""
    if isinstance(value, dict):
        return "; ".join(f"{key} {_short(item)}" for key, item in value.items())
    if isinstance(value, list):
        return ", ".join(_short(item) for item in value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _notes(
    result: Mapping[str, Any],
    systems: Sequence[SystemRow],
    against: SystemRow | None,
    lines: Sequence[CurvePoint],
    cloud: int,
) -> dict[str, tuple[str, ...]]:
    """What each section has to say about what is absent, or how to read it."""
    return {
        "accuracy": (*_accuracy_notes(result, systems[0]), *_cloud_notes(result, cloud)),
        "decisions": _decision_notes(against),
        "systems": () if len(systems) > 1 else ("This run trained no baselines, so nothing stands beside it.",),
        "curves": _curve_notes(lines),
        "slimmable": _slimmable_notes(result.get("slimmable")),
    }


def _accuracy_notes(result: Mapping[str, Any], ours: SystemRow) -> tuple[str, ...]:
    counts = (result.get("data") or {}).get("counts") or {}
    reasons = {
        "test": "the data has no test pictures" if not counts.get("test") else "the test was not run",
        "validation": "every picture was used for training"
        if not counts.get("selection")
        else "the validation was not run",
    }
    absent = [s for s in SPLITS if all(value is None for value in ours.accuracies[s].values())]
    return tuple(f"There is no {split} accuracy: {reasons[split]}." for split in absent)


def _cloud_notes(result: Mapping[str, Any], drawn: int) -> tuple[str, ...]:
    cloud = result.get("cloud") or []
    tried = [b["name"] for b in result.get("baselines") or [] if any(p.get("tried") for p in b.get("platforms") or [])]
    texts = [f"{name} tried the networks of the small marks, each trained for a short while only." for name in tried]
    if not cloud:
        return (*texts, "No random architectures were judged in this run, so there is no cloud.")
    shown = "" if drawn == len(cloud) else f", of which {len(cloud):,} are shown"
    sampled = {entry.get("sampled", "uniform") for entry in cloud}
    how = "uniformly" if sampled == {"uniform"} else "at random"
    text = f"The cloud is {drawn:,} architectures drawn {how} from the space{shown}, judged with the shared weights "
    text += "of the search and not trained further: compare its shape, not its height, with the trained ones."
    return (*texts, text)


def _decision_notes(against: SystemRow | None) -> tuple[str, ...]:
    if against is None:
        return ("No baseline with known architectures is at hand to draw beside the networks found.",)
    return ()


def _curve_notes(lines: Sequence[CurvePoint]) -> tuple[str, ...]:
    if not lines:
        return ("The run recorded no training metrics.",)
    most = max(point.averaged for point in lines)
    return () if most == 1 else (f"Each point of loss and accuracy is the mean of up to {most} recorded steps.",)


def _slimmable_notes(slimmable: Mapping[str, Any] | None) -> tuple[str, ...]:
    if not slimmable:
        return ()
    text = f"One file serves all platforms: {slimmable.get('path')}"
    whole, singles = slimmable.get("bytes"), slimmable.get("sum_of_single_bytes")
    if whole and singles:
        text += (
            f", {words.size(whole)} against {words.size(singles)} for the single files ({100 * whole / singles:.0f} %)"
        )
    switches = slimmable.get("switches")
    if isinstance(switches, list) and switches:
        text += f". It switches at run time between {words.listed([str(s) for s in switches])}"
    return (text + ".",)
