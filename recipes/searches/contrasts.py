"""From the ablations' pieces to figures, as plain data and as Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from searches import text
from searches.compare import difference, summary
from searches.comparison import PARTS, done, scaled, searched
from searches.experiment import Experiment
from searches.text import interval, shown, spread, table
from searches.work import Job

_COSTS = {"macs": 1e-6, "params": 1e-3}


def collect(job: Job) -> dict[str, Any]:
    """All figures of a results folder; what is not done yet is left out."""
    experiment = job.experiment
    trained = {name: done(job, "short", name) for name in experiment.variants}
    searches = {name: _searches(job, name) for name in experiment.variants}
    return {
        "recipe": f"{experiment.name}_ablations",
        **job.to_json(),
        "variants": {name: _variant(trained[name], searches[name]) for name in experiment.variants},
        "questions": [
            {
                "title": q.title,
                "changed": q.changed,
                "base": q.base,
                "paper": None if q.published is None else q.published[0][0] - q.published[1][0],
                **{
                    part: difference(_values(trained[q.changed], part), _values(trained[q.base], part))
                    for part in PARTS
                },
            }
            for q in experiment.questions
        ],
    }


def _searches(job: Job, name: str) -> dict[str, dict[str, Any]]:
    space = job.make_space(name)
    target = job.target(space)
    found = {str(n): searched(c, target.cost, target.value) for n, c in done(job, "search", name).items()}
    return {n: {**s, "target": target.value} for n, s in found.items()}


def _variant(trained: Mapping[int, Mapping[str, Any]], searches: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Accuracies over seeds, and how far the most probable network costs from what the last samples cost."""
    of_target = {
        name: summary([100 * (s[name] / s["target"] - 1) for s in searches.values()])
        for name in ("argmax", "samples", "answer")
    }
    gaps = [100 * abs(s["argmax"] - s["samples"]) / s["target"] for s in searches.values()]
    return {
        **{part: summary(_values(trained, part)) for part in PARTS},
        "off_target_percent": of_target,
        "argmax_from_samples_percent": summary(gaps),
        "last_entropy_share": summary([s["last_entropy_nats"] / s["first_entropy_nats"] for s in searches.values()]),
        "searches": searches,
        "seconds": summary([s["cpu_seconds"] for s in searches.values()]),
        "steps": summary([s["steps"] for s in searches.values()]),
        "sampled": summary([s["sampled"] for s in searches.values() if s["sampled"] is not None]),
        "costs": {kind: summary([c["costs"][kind] for c in trained.values() if kind in c["costs"]]) for kind in _COSTS},
    }


def _values(contents: Mapping[int, Mapping[str, Any]], part: str) -> list[float]:
    return [c[part] for c in contents.values() if c[part] is not None]


# ---------------------------------------------------------------------- Markdown


def document(found: Mapping[str, Any], experiment: Experiment) -> str:
    """Everything, section by section."""
    head = f"Size `{found['size']['name']}`. Accuracies in percent, mean ± standard deviation over whole searches"
    if experiment.with_main:
        share = found["size"]["ablation_share"]
        head += f"; `{experiment.main}` is the search of cifar.py, every other one has {share:g} of its length"
    found = _started(found)
    sections = {
        "Searches that differ in one thing": _variants(found),
        "The same as differences (points, 95 % interval of Welch), the paper's on ImageNet beside them": _questions(
            found
        ),
        "Cost of the most probable network and of the last samples, from the target (%)": _costs(found),
    }
    return text.document(f"{head}.", sections)


def _started(found: Mapping[str, Any]) -> dict[str, Any]:
    """The figures without those of searches that were not run."""
    variants = {name: v for name, v in found["variants"].items() if v["searches"] or v["test_accuracy"]["count"]}
    questions = [q for q in found["questions"] if q["changed"] in variants and q["base"] in variants]
    return {**found, "variants": variants, "questions": questions}


def _variants(found: Mapping[str, Any]) -> str:
    header = [
        "search",
        "searches",
        "test",
        "validation",
        "MMACs",
        "thousand weights",
        "steps",
        "networks drawn",
        "CPU seconds",
    ]
    lines = [
        [
            name,
            str(v["test_accuracy"]["count"]),
            *(spread(v[p]) for p in PARTS),
            *(spread(scaled(v["costs"][kind], unit), 3 if kind == "macs" else 0) for kind, unit in _COSTS.items()),
            spread(v["steps"], 0),
            spread(v["sampled"], 0),
            spread(v["seconds"], 0),
        ]
        for name, v in found["variants"].items()
    ]
    return table(header, lines)


def _questions(found: Mapping[str, Any]) -> str:
    header = ["question", "minus", "test", "validation", "paper"]
    lines = [
        [
            f"{q['title']} (`{q['changed']}`)",
            f"`{q['base']}`",
            *(interval(q[p]) for p in PARTS),
            shown(q["paper"], 1, "+"),
        ]
        for q in found["questions"]
    ]
    return table(header, lines)


def _costs(found: Mapping[str, Any]) -> str:
    header = ["search", "argmax", "mean of the last samples", "between the two", "answer", "entropy left"]
    lines = []
    for name, v in found["variants"].items():
        off = v["off_target_percent"]
        between, left = v["argmax_from_samples_percent"], v["last_entropy_share"]
        lines.append(
            [
                name,
                spread(off["argmax"], 1),
                spread(off["samples"], 1),
                spread(between, 1),
                spread(off["answer"], 1),
                spread(left),
            ]
        )
    return table(header, lines)
