"""The format of ``result.json`` and ``metrics.jsonl``: what the run writes and the report reads.

Accuracies are percentages (0 to 100), shares are fractions (0 to 1), quantities carry their unit in the name.
A value that was not measured is null. Readers ignore keys they do not know.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict

FORMAT_VERSION = 1


class _DecisionOptional(TypedDict, total=False):
    options: list[Any]
    when: list[Any] | None  # [parent, option values]: it matters only while the parent takes one of them
    block: str | None  # the first block that it shapes


class Decision(_DecisionOptional):
    """One decision of the space, in network order."""

    name: str
    kind: str  # "width" or "op"


class Space(TypedDict, total=False):
    """What was searched."""

    name: str
    options: dict[str, Any]
    cardinality: str  # an exact integer, as text: it may exceed 2**53
    decisions: list[Decision]


class Data(TypedDict, total=False):
    """What was trained and judged on; ``counts`` holds the pictures in weights, policy, selection and test."""

    source: str
    classes: int | list[str]
    image_size: int | list[int]
    deploy_image_size: int  # what the networks are shipped for; costs and tables of blocks are for it
    counts: dict[str, int]
    normalisation: Any


class _NetworkBlockOptional(TypedDict, total=False):
    kernel: int | None
    expansion: float | None  # as chosen, else the inner width over that of the input
    attention: int | None  # 0 none, 1 squeeze-excite, R a split attention over R branches; None: no depthwise layer
    activation: str | None
    macs: int


class NetworkBlock(_NetworkBlockOptional):
    """One block of a network; a skipped one has no ``operation`` and nothing that is optional."""

    name: str
    operation: str | None  # "conv", "separable", "bottleneck", "linear", "pool", "global_pool" or "other"
    channels: int  # of the output
    side: int  # of the output


class Deployed(TypedDict, total=False):
    """A network shipped for another size of pictures than it was trained at; accuracies in percent."""

    image_size: int
    training_image_size: int
    pictures: str  # how they came to the new size: "enlarged", "reduced" or "decoded"
    test_pictures: int  # how many judged both accuracies
    test_accuracy: float | None
    test_accuracy_at_training_size: float | None


class _OwnOptional(TypedDict, total=False):
    network: list[NetworkBlock]


class Own(_OwnOptional):
    """What the method would have answered without budgets, where a budget forbids it."""

    architecture: dict[str, Any]
    costs: dict[str, float]


class FirstAnswer(TypedDict, total=False):
    """What a platform's first network came to, which missed its latency budget when it was measured."""

    predicted_ms: float
    measured_ms: float
    noise: float | None
    architecture: dict[str, Any]
    costs: dict[str, float]


class _LatencyOptional(TypedDict, total=False):
    margin_from: str | None  # "platform" or "device"; null: nobody knows one
    scale: float  # predictions of the device were multiplied by it, where a first answer missed
    machine: dict[str, str]  # that the device's file was measured on: cpu, system, architecture
    runtime: dict[str, str]  # name and version in the device's file
    threads: int
    batch: int
    repeats: int
    here: dict[str, Any] | None  # the machine that measured, or was to measure
    runtime_here: dict[str, str]  # that it was measured in
    noise: float | None  # by which odd visits differ from even ones, a share
    visits: int
    clock: str
    date: str
    reason: str | None  # why it was not measured
    first: FirstAnswer | None
    unsolved: str | None  # why a miss was not solved again


class Latency(_LatencyOptional):
    """A latency budget: what was predicted before the training, and what the exported network took."""

    budget_ms: float
    margin: float  # a share; predicted_ms * (1 + margin) is within the budget
    predicted_ms: float
    device: str
    measured_ms: float | None
    missed: bool | None  # null: not measured


class _PlatformOptional(TypedDict, total=False):
    weight: float
    device: str | None  # of the latency budget; ``costs["latency_ms"]`` is predicted for it
    network: list[NetworkBlock]
    own: Own | None
    latency: Latency | None
    deployed: Deployed | None
    notes: list[str]  # what the method has to say about this answer
    params: int
    exit: int | None
    val_accuracy: float | None
    test_accuracy: float | None
    weights: str | None  # path of the trained weights, relative to the run folder
    onnx: str | None
    onnx_max_abs_diff: float | None
    onnx_top1_agreement: float | None  # fraction of pictures with the same first class as PyTorch
    onnx_bytes: int | None
    latency_ms: float | None  # measured, one picture, median
    latency_spread_ms: float | None
    latency_device: str | None  # where latency_ms was measured; held against the budget if it is its device
    predicted_loss: float | None


class Platform(_PlatformOptional):
    """A platform and the network found for it."""

    name: str
    budgets: dict[str, float]
    costs: dict[str, float]  # exact or predicted costs by kind: macs, params, peak_memory_bytes, latency_ms
    architecture: dict[str, Any]  # decision -> option value


class Tried(TypedDict, total=False):
    """A network that a baseline trained for a short while only."""

    costs: dict[str, float]
    val_accuracy: float | None


class _BaselinePlatformOptional(TypedDict, total=False):
    costs: dict[str, float]
    val_accuracy: float | None
    test_accuracy: float | None
    architecture: dict[str, Any] | None
    network: list[NetworkBlock]
    tried: list[Tried]


class BaselinePlatform(_BaselinePlatformOptional):
    """What a baseline gives a platform."""

    name: str


class WeightedAccuracy(TypedDict, total=False):
    """Accuracy weighted by the importance of the platforms."""

    validation: float | None
    test: float | None


class _BaselineOptional(TypedDict, total=False):
    description: str
    weighted_accuracy: WeightedAccuracy
    anytime: dict[str, Any] | None  # the exits and batches of its network with exits, as in Anytime


class Baseline(_BaselineOptional):
    """Something to be better than, at equal budgets.

    Channels are drawn against the first baseline that has ``architecture`` for its platforms and "uniform" or
    "slim" in its name or description.
    """

    name: str
    platforms: list[BaselinePlatform]


class CloudPoint(TypedDict, total=False):
    """A random architecture judged with the shared weights of the search; costs stand beside the judgement."""

    macs: int
    params: int
    peak_memory_bytes: int
    accuracy: float | None
    loss: float | None
    sampled: str  # "uniform"


class PolicyTrace(TypedDict):
    """What a policy believed over time: snapshots of every decision's probabilities.

    Decisions are those of ``space.decisions`` in their order, and so are the options. The first snapshot is that of
    the start, the last one that of the end.
    """

    progress: list[float]  # share of the search done at each snapshot
    probabilities: list[list[list[float]]]  # snapshot -> decision -> option


class Slimmable(TypedDict, total=False):
    """One file of shared weights for all platforms."""

    path: str
    bytes: int
    sum_of_single_bytes: int
    switches: list[str]


class Anytime(TypedDict, total=False):
    """The network with exits that serves all platforms."""

    path: str
    bytes: int
    # Per exit: costs by every count (sartor.anytime.ExitCost), and accuracies in percent of the exit and of the mean of
    # the exits so far, on both sets (val_accuracy, val_ensemble_accuracy, test_accuracy, test_ensemble_accuracy).
    exits: list[dict[str, Any]]
    batches: list[dict[str, Any]]  # by mean cost: planned, mean_cost, accuracy, shares, thresholds
    stages: dict[str, Any] | None  # the exported folder, and what its verification found per exit


class _ResultOptional(TypedDict, total=False):
    space: Space
    data: Data
    weighted_accuracy: WeightedAccuracy
    baselines: list[Baseline]
    cloud: list[CloudPoint]
    policy: dict[str, PolicyTrace]  # by platform; empty for methods without a policy
    slimmable: Slimmable | None
    anytime: Anytime | None
    missed: list[str]  # the platforms whose networks miss a latency budget when measured
    search_seconds: float | None
    train_seconds: float | None
    baseline_seconds: float | None
    measure_seconds: float | None
    images_trained: dict[str, int]  # search, training, training again (after a miss), baselines
    environment: dict[str, Any]
    configuration: dict[str, Any]
    warnings: list[str]


class Result(_ResultOptional):
    """The whole of ``result.json``."""

    format_version: int
    name: str
    method: str
    seed: int
    platforms: list[Platform]


class _MetricOptional(TypedDict, total=False):
    steps: int  # steps in this stage altogether
    loss: float | None
    accuracy: float | None  # percent
    learning_rate: float | None
    temperature: float | None
    progress: float  # share of the stage done
    entropy_nats: float  # of the policy
    quality: float  # share of the pictures that the sampled architectures classify correctly
    reward: float  # of the sampled architectures
    cost_ratio: float  # their cost over the target: TuNAS's first summed budget, else the budget most used
    policy_rate: float  # learning rate of the policy; 0 while only the shared weights learn
    samples_per_step: float  # K
    effective_samples: float  # of these: 1 / sum of their squared weights, which sum to 1
    mode_accuracy: float  # percent; the most probable architecture with recalibrated batch norms
    time: float  # seconds since the epoch


class Metric(_MetricOptional):
    """A line of ``metrics.jsonl``.

    The keys of a policy-based search are means over the platforms; with several platforms each has its own beside
    them, as ``entropy_nats/NAME``.
    """

    stage: str  # "search", "train" or "baseline:NAME"
    step: int
    images: int  # pictures seen in this stage so far


AnyResult = Result | Mapping[str, Any]
AnyMetric = Metric | Mapping[str, Any]
