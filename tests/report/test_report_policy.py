"""What the report says about a policy-based search: curves, beliefs, two answers, and networks block by block."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import policy_samples as samples
import pytest
import report_samples

from sartor import report
from sartor.report import words
from sartor.report.beliefs import MAX_SNAPSHOTS, Belief, thinned
from sartor.report.blocks import describe_decisions, describe_network
from sartor.report.rows import BudgetUse
from sartor.report.search import EVERYONE, MAX_POINTS, search_curves, target_ratio
from sartor.space import SearchSpace

RESULT = samples.policy_result()
METRICS = samples.policy_metrics()


@pytest.fixture(scope="module")
def data() -> report.ReportData:
    """Three platforms on 58 decisions; the phone's own answer exceeds its budget."""
    return report.build(RESULT, METRICS)


def small_result(**changes: Any) -> dict[str, Any]:
    """Four decisions of which two depend on the first one, and four snapshots."""
    decisions = [
        {"name": "layer", "kind": "op", "options": ["layer", "skip"]},
        {"name": "kernel", "kind": "op", "options": [3, 5], "when": ["layer", ["layer"]]},
        {"name": "gate", "kind": "op", "options": [False, True], "when": ["kernel", [5]]},
        {"name": "filters", "kind": "width", "options": [8, 16, 24]},
    ]
    history = [
        [[0.5, 0.5], [0.5, 0.5], [0.5, 0.5], [0.4, 0.3, 0.3]],
        [[0.9, 0.1], [0.7, 0.3], [0.5, 0.5], [0.2, 0.5, 0.3]],
        [[0.8, 0.2], [0.2, 0.8], [0.5, 0.5], [0.1, 0.0, 0.9]],
        [[0.95, 0.05], [0.1, 0.9], [0.5, 0.5], [0.04, 0.01, 0.95]],
    ]
    platform = {
        "name": "a",
        "budgets": {"macs": 100.0},
        "costs": {"macs": 80.0},
        "architecture": {"layer": "layer", "kernel": 5, "gate": False, "filters": 16},
    }
    return {
        "format_version": 1,
        "name": "small",
        "method": "tunas",
        "space": {"decisions": decisions},
        "platforms": [platform | changes],
        "policy": {"a": {"progress": [0.0, 0.4, 0.7, 1.0], "probabilities": history}},
    }


# ---------------------------------------------------------------- what the run writes


def test_blocks_say_what_was_chosen() -> None:
    """Kernel and expansion of every block are the chosen ones, MACs sum to the network's, skipped layers are bare."""
    space = samples.space()
    architecture = space.architecture(space.sample(1, np.random.default_rng(5))[0])
    blocks = describe_network(space, architecture.values)
    assert [block["name"] for block in blocks] == [template.name for template in space.templates]
    assert sum(block.get("macs", 0) for block in blocks) == architecture.blueprint.macs
    chosen = architecture.values
    for block in blocks[2:-2]:
        name, layer = block["name"].split("_layer")
        if chosen.get(block["name"], "layer") == "skip":
            assert block == {"name": block["name"], "operation": None, **{k: block[k] for k in ("channels", "side")}}
        else:
            assert (block["operation"], block["attention"]) == ("bottleneck", 0)
            assert block["kernel"] == chosen[f"{name}_kernel{layer}"]
            assert block["expansion"] == chosen[f"{name}_expansion{layer}"]
    assert [blocks[k]["operation"] for k in (0, 1, -2, -1)] == ["conv", "separable", "conv", "linear"]


def test_blocks_of_other_spaces() -> None:
    """Squeeze-excite and split attention are told apart; a bypass has no expansion, whatever was chosen for it."""
    space = samples.space("mobilenetv3_like")
    largest = describe_network(space, _largest(space))
    assert {b["attention"] for b in largest if b["operation"] == "bottleneck"} == {1}
    assert all(b["attention"] is None for b in largest if b["operation"] == "conv")
    space = samples.space("fbnetv2_f_plus")
    split = describe_network(space, _largest(space))
    assert {b["attention"] for b in split if b["operation"] == "bottleneck"} == {4}
    space = samples.space("fbnetv2_f")
    values = _largest(space)
    kept = {b["name"]: b for b in describe_network(space, values)}
    bypassed = {b["name"]: b for b in describe_network(space, values | {"row4_kernel": 0, "row7_kernel": 0})}
    assert kept["row4_block1"]["expansion"] == values["row4_expansion"]
    assert (bypassed["row4_block1"]["operation"], bypassed["row4_block1"]["expansion"]) == ("conv", None)
    assert bypassed["row7_block2"]["operation"] is None


def _largest(space: SearchSpace) -> dict[str, Any]:
    assert space.largest is not None
    return dict(space.largest.values)


def test_decisions_say_when_they_matter_and_where() -> None:
    """A decision names the option that makes it matter and the first block that reads it."""
    found = {d["name"]: d for d in describe_decisions(samples.space("mobilenetv3_like"))}
    assert found["block2_kernel3"]["when"] == ["block2_layer3", ["layer"]]
    assert found["block2_kernel3"]["block"] == "block2_layer3"
    assert (found["filters2"]["when"], found["filters2"]["block"]) == (None, "block2_layer1")


# ---------------------------------------------------------------- curves


def test_every_platform_has_its_line(data: report.ReportData) -> None:
    """Quantities of platforms are drawn per platform, what is logged once is one line for all, in percent of both."""
    lines = {(p.quantity, p.platform) for p in data.search.points}
    assert {platform for quantity, platform in lines if quantity == "entropy_nats"} == set(samples.NAMES)
    assert {platform for quantity, platform in lines if quantity == "policy_rate"} == {EVERYONE}
    assert all(0 < p.done <= 100 for p in data.search.points)
    assert max(p.value for p in data.search.points if p.quantity == "quality") > 50
    assert data.search.onset == pytest.approx(100 * samples.FROZEN)
    assert data.search.start_entropy is not None
    uniform = sum(math.log(size) for size in samples.space().sizes)
    assert data.search.start_entropy["phone"] == pytest.approx(uniform)


def test_one_platform_is_its_name() -> None:
    """A single platform's keys have no names in them."""
    entries = [{"stage": "search", "step": k, "entropy_nats": 5.0 - k, "cost_ratio": 1.1} for k in (1, 2, 3)]
    found = search_curves(entries, ["only"])
    assert {p.platform for p in found.points} == {"only"}
    assert [p.done for p in found.points if p.quantity == "cost_ratio"] == [33.33, 66.67, 100.0]
    assert (found.onset, found.start_entropy) == (None, {"only": 4.0})


def test_lines_are_averaged() -> None:
    """Long logs keep their mean in a bounded number of points; what is logged now and then keeps its moments."""
    entries = [{"stage": "search", "step": k, "entropy_nats": float(k % 2)} for k in range(1, 2001)]
    entries[999]["mode_accuracy"] = 40.0
    entries[1999]["mode_accuracy"] = 60.0
    found = search_curves(entries, ["a"]).points
    entropy = [p for p in found if p.quantity == "entropy_nats"]
    assert len(entropy) == MAX_POINTS
    assert all(p.value == pytest.approx(0.5, abs=0.03) and p.averaged == 25 for p in entropy)
    assert [(p.done, p.value) for p in found if p.quantity == "mode_accuracy"] == [(50.0, 40.0), (100.0, 60.0)]


def test_other_methods_have_no_search_section() -> None:
    """Without an entropy in the log and a trace in the result nothing is said about a policy."""
    built = report.build(report_samples.slimmable_result(2), report_samples.metrics(steps=50))
    assert (built.search.points, built.search_rows, built.beliefs.decisions, built.own) == ((), (), (), ())
    assert not built.networks.cells


def test_rows_sum_the_search_up(data: report.ReportData) -> None:
    """Entropy from the first line to the mean of the last tenth, and every cost over its target."""
    phone = data.search_rows[1]
    last = [m["entropy_nats/phone"] for m in METRICS[-samples.LOGGED // 10 :]]
    assert phone.end_nats == pytest.approx(np.mean(last), rel=0.02)
    assert phone.likely_networks == pytest.approx(math.exp(phone.end_nats or 0))
    assert 0.95 < (phone.sample_ratio or 0) < 1.05
    platform = RESULT["platforms"][1]
    budget = platform["budgets"]["latency_ms"]
    assert phone.answer_ratio == platform["costs"]["latency_ms"] / budget
    assert phone.own_ratio == platform["own"]["costs"]["latency_ms"] / budget
    assert platform["own"]["costs"]["latency_ms"] > budget >= platform["costs"]["latency_ms"]
    assert data.search_rows[0].own_ratio is None
    assert 0 < phone.settled < phone.decisions < 58


@pytest.mark.parametrize(("method", "ratio"), [("tunas", 0.5), ("fpnas", 0.9)])
def test_target_of_the_method(method: str, ratio: float) -> None:
    """TuNAS aims at the first summed budget, FP-NAS at the one used most; a measurement is no target."""
    uses = [
        BudgetUse("peak_memory_bytes", 100.0, 90.0),
        BudgetUse("macs", 100.0, 50.0),
        BudgetUse("latency_ms", 100.0, 70.0),
        BudgetUse("latency_ms", 100.0, 170.0, measured=True),
    ]
    assert target_ratio(method, uses) == ratio
    assert target_ratio(method, []) is None


# ---------------------------------------------------------------- beliefs


def believed(**changes: Any) -> dict[str, Belief]:
    """The beliefs about the four decisions."""
    return {b.decision: b for b in report.build(small_result(**changes), []).beliefs.decisions}


def test_beliefs_follow_the_final_favourite() -> None:
    """Per snapshot the probability of the option that won, and which one led then."""
    filters = believed()["filters"]
    assert (filters.likely, filters.taken, filters.options) == (2, 1, ("8", "16", "24"))
    assert filters.chances == (0.3, 0.3, 0.9, 0.95)
    assert filters.leaders == (0, 1, 2, 2)
    assert filters.leader_chances == (0.4, 0.5, 0.9, 0.95)


def test_settled_lasts_to_the_end() -> None:
    """A decision that was sure for a while and then wavered is settled only from its last run on; 0.9 is enough."""
    found = believed()
    assert found["filters"].settled_at == 0.7
    assert found["layer"].settled_at == 1.0
    assert found["gate"].settled_at is None


def test_decisions_of_skipped_layers_do_not_matter() -> None:
    """Neither they nor what hangs on them is counted."""
    assert [b.used for b in believed().values()] == [True, True, True, True]
    skipped = {"layer": "skip", "kernel": 5, "gate": False, "filters": 16}
    assert [b.used for b in believed(architecture=skipped).values()] == [True, False, False, True]
    row = report.build(small_result(architecture=skipped), []).search_rows[0]
    assert (row.settled, row.decisions) == (2, 2)


def test_snapshots_are_thinned(data: report.ReportData) -> None:
    """The first and the last snapshot stay; the page carries these two alone, the run's own file all of them."""
    trace = {"progress": list(range(100)), "probabilities": [[[k]] for k in range(100)]}
    kept = thinned(trace)
    assert len(kept["progress"]) == MAX_SNAPSHOTS
    assert (kept["progress"][0], kept["progress"][-1]) == (0, 99)
    assert kept["probabilities"] == [[[k]] for k in kept["progress"]]
    assert data.result["policy"]["phone"]["progress"] == [0.0, 1.0]
    assert len(RESULT["policy"]["phone"]["progress"]) == samples.SNAPSHOTS


@pytest.mark.parametrize(
    "trace", [{}, {"progress": [], "probabilities": []}, {"progress": [1.0], "probabilities": [[]]}]
)
def test_traces_that_do_not_fit_are_left_out(trace: dict[str, Any]) -> None:
    """A trace of another space, or of a search that never stepped, does not stop the report."""
    result = small_result()
    result["policy"] = {"a": trace}
    assert report.build(result, []).beliefs.decisions == ()


# ---------------------------------------------------------------- two answers


def test_both_answers_stand_side_by_side() -> None:
    """Decisions that differ, with their final probabilities; what does not matter in one of the two has no value."""
    own = {"architecture": {"layer": "skip", "kernel": 3, "gate": False, "filters": 24}, "costs": {"macs": 120.0}}
    answer = report.build(small_result(own=own), []).own[0]
    assert [(c.decision, c.own, c.taken) for c in answer.choices] == [
        ("layer", "skip", "layer"),
        ("kernel", None, "5"),
        ("gate", None, "no"),
        ("filters", "24", "16"),
    ]
    assert [(c.own_probability, c.taken_probability) for c in answer.choices] == [
        (0.05, 0.95),
        (None, 0.9),
        (None, 0.5),
        (0.95, 0.01),
    ]
    (mine, taken) = answer.pairs[0]
    assert (mine.used, mine.missed, taken.used, taken.missed) == (120.0, True, 80.0, False)


def test_answers_within_the_budget_stand_alone(data: report.ReportData) -> None:
    """Only the platform whose own answer was forbidden is listed, and its note stands by its answer."""
    assert [answer.platform for answer in data.own] == ["phone"]
    assert [len(row.notes) for row in data.platforms] == [0, 1, 0]
    assert data.platforms[1].notes[0].startswith("The most probable architecture exceeds")


# ---------------------------------------------------------------- networks


def test_networks_are_tables_of_blocks(data: report.ReportData) -> None:
    """A cell per property and one for a skipped block; columns that say nothing are left out."""
    found = data.networks
    assert found.systems == ("TuNAS", "TuNAS without budgets", "random")
    assert found.columns == ("kernel", "expand", "channels", "MACs")
    mine = [c for c in found.cells if c.system == "TuNAS" and c.platform == "watch"]
    chosen = RESULT["platforms"][0]["architecture"]
    assert {c.block for c in mine if c.column == "skipped"} == {n for n, v in chosen.items() if v == "skip"}
    kernels = {c.block: (c.text, c.strength) for c in mine if c.column == "kernel"}
    strengths = {1: 0.0, 3: 0.333, 5: 0.667, 7: 1.0}
    kernel = chosen["block2_kernel1"]
    assert kernels["block2_layer1"] == (f"{kernel}×{kernel}", strengths[kernel])  # noqa: RUF001
    assert all(0 <= c.strength <= 1 for c in found.cells if c.strength is not None)


def test_own_networks_show_where_they_differ(data: report.ReportData) -> None:
    """Marked cells are exactly the blocks of the decisions in which the two answers part."""
    marked = {c.block for c in data.networks.cells if c.differs}
    names = {choice.decision for choice in data.own[0].choices}
    decisions = {d["name"]: d["block"] for d in RESULT["space"]["decisions"]}
    assert marked == {decisions[name] for name in names}
    assert {c.system for c in data.networks.cells if c.differs} == {"TuNAS without budgets"}


def test_neighbours_share_blocks(data: report.ReportData) -> None:
    """Equal blocks are counted, since decisions of skipped layers are equal by chance."""
    a, b = (RESULT["platforms"][k]["network"] for k in (0, 1))
    pair = data.shared[0]
    assert (pair.equal, pair.total) == (sum(x == y for x, y in zip(a, b, strict=True)), 25)
    assert str(pair).endswith("of 25 blocks equal")


def test_expansions_are_not_channels(data: report.ReportData) -> None:
    """The picture of channels per layer is for spaces of widths alone where blocks are known."""
    assert data.widths == ()
    old = copy.deepcopy(RESULT)
    for platform in old["platforms"]:
        del platform["network"]
        platform["own"] = None
    built = report.build(old, METRICS)
    assert not built.networks.cells
    assert built.widths
    assert "of 58 layers equal" in str(built.shared[0])


# ---------------------------------------------------------------- predictions and sizes


def test_predictions_name_their_device(data: report.ReportData) -> None:
    """A predicted latency stands beside its budget with its device; a measured one is named apart."""
    row = data.platforms[0]
    assert row.uses[0].origin == "predicted for pixel1_tunas"
    assert "(predicted for pixel1_tunas) of the" in row.answer
    assert "measured at 13" in row.answer
    assert row.answer.endswith("per picture on this machine.")
    assert data.predicted_on == "pixel1_tunas"
    assert report.build(report_samples.slimmable_result(1), []).predicted_on is None


def test_deployed_sizes_are_said() -> None:
    """A network shipped for another size says how it does there, and the run says which size."""
    deployed = {"image_size": 224, "training_image_size": 32, "pictures": "enlarged", "test_pictures": 1000}
    accuracies = {"test_accuracy": 61.25, "test_accuracy_at_training_size": 64.0}
    result = small_result(deployed=deployed | accuracies)
    result["data"] = {"image_size": 32, "deploy_image_size": 224}
    built = report.build(result, [])
    sentence = built.platforms[0].deployed
    assert sentence is not None
    assert sentence.startswith("a is shipped for pictures of side 224 (enlarged from 32): 61.25")
    assert sentence.endswith("at the size of training.")
    assert ("Shipped for", "224 × 224") in built.facts  # noqa: RUF001
    result["data"]["deploy_image_size"] = 32
    assert "Shipped for" not in dict(report.build(result, []).facts)


@pytest.mark.parametrize(("count", "text"), [(1.0, "1.0"), (12.3, "12"), (12599.4, "13,000"), (1.3e7, "1.3 × 10⁷")])  # noqa: RUF001
def test_rough_counts(count: float, text: str) -> None:
    """How many networks are still likely is no exact number, and does not pretend to be."""
    assert words.about(count).replace("\u00a0", " ") == text
