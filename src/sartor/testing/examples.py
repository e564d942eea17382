"""Spaces for tests: the registered ones at a small size, and four that hold what no paper's space holds at once."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache, partial

from sartor import spaces
from sartor.decisions import Decision, Rule, Template
from sartor.space import SearchSpace
from sartor.stack import Stack


def space_names() -> tuple[str, ...]:
    """The names that :func:`small_space` knows: every registered space and the examples of this file."""
    return (*spaces.names(), *_EXAMPLES)


_SMALL = {"image_size": 8, "num_classes": 5, "multiplier": 0.25, "depth": 2, "channel_choices": 3}
# Spaces made for large networks, whose banks of weights are large even so.
_SMALLER: dict[str, dict[str, float]] = {f"fpnas_l{i}": {"multiplier": 0.125} for i in range(3)}
_SMALLER["ms_ranas"] = {"image_size": 16, "scales": 2, "layers": 4, "channels": 4}


@cache
def small_space(name: str) -> SearchSpace:
    """A space small enough for tests on a CPU: few pixels, classes and channels where it has such options."""
    if name in _EXAMPLES:
        return _EXAMPLES[name]()
    known = inspect.signature(spaces.builder(name)).parameters
    small = {**_SMALL, **_SMALLER.get(name, {})}
    return spaces.create(name, **{k: v for k, v in small.items() if k in known})


def two_exits(*, num_classes: int = 5, image_size: int = 16) -> SearchSpace:
    """A graph with two exits: a gate, branches that wait, a concatenation, a sum, and pictures read twice.

    Several blocks begin with an activation and read a tensor that others read too.
    """
    half, quarter = -(-image_size // 2), -(-image_size // 4)
    decisions = [
        Decision("stem", (4, 6, 8), "width"),
        Decision("mixer", ("skip", "plain", "gated")),
        Decision("branch", ("pool", "conv")),
        Decision("kernel", (3, 5), when=("branch", ("conv",))),
        Decision("right", (4, 8), "width"),
        Decision("left", (6, 10), "width"),
        Decision("merged", (6, 12), "width"),
        Decision("deep", ("skip", "k3")),
    ]

    def stem(width: int) -> Stack:
        return Stack(3, image_size).conv("conv", width, kernel=3, stride=2).batch_norm().activation()

    def mixer(width: int, kind: str) -> Stack:
        start = Stack(width, half)
        body = start.activation("hard_swish").conv("conv", width, kernel=3).batch_norm()
        if kind == "gated":  # ends in the gate: its last layer makes factors, not the body's output
            body = body.gate(squeeze_excite(width, half))
        return start if kind == "skip" else start.residual(body)

    def left(width_in: int, width: int) -> Stack:
        return Stack(width_in, half).activation().conv("conv", width, kernel=3, stride=2).batch_norm()

    def right(width_in: int, kind: str, kernel: int, width: int) -> Stack:
        start = Stack(width_in, half).activation("relu6")
        if kind == "pool":
            return start.pool("avg", stride=2).conv("pool_project", width).batch_norm()
        moved = start.depthwise(f"depthwise{kernel}", kernel=kernel, stride=2).batch_norm().activation("swish")
        return moved.conv("project", width).batch_norm()

    def merged(right: int, left: int, width: int) -> Stack:
        return Stack(right + left, quarter).conv("conv", width, bias=True).activation("sigmoid")

    def deep(width: int, kind: str) -> Stack:
        start = Stack(width, quarter)
        return start if kind == "skip" else start.conv("conv", width, kernel=3).batch_norm().activation()

    def thumbnail(width: int) -> Stack:
        start = Stack(3, image_size).pool("max", stride=2).pool("avg", stride=2)
        return start.conv("conv", width, kernel=3, dilation=2)

    def classifier(width: int) -> Stack:
        return Stack(width, quarter).global_pool().dropout().linear("linear", num_classes)

    templates = [
        Template("stem", ("stem",), stem),
        Template("mixer", ("stem", "mixer"), mixer),
        Template("left", ("stem", "left"), left, inputs=("mixer",)),
        Template("right", ("stem", "branch", "kernel", "right"), right, inputs=("mixer",)),
        Template("merged", ("right", "left", "merged"), merged, inputs=("right", "left"), join="concat"),
        Template("exit0", ("merged",), classifier, is_exit=True),
        Template("deep", ("merged", "deep"), deep, inputs=("merged",), stage=1),
        Template("thumbnail", ("merged",), thumbnail, inputs=("pictures",), stage=1),
        Template("sum", ("merged",), lambda w: Stack(w, quarter), ("deep", "merged", "thumbnail"), "sum", stage=1),
        Template("exit1", ("merged",), classifier, stage=1, is_exit=True),
    ]
    return SearchSpace(
        "two_exits",
        decisions,
        templates,
        image_size=image_size,
        options={"num_classes": num_classes, "image_size": image_size},
        smallest=[0] * len(decisions),
        largest=[2, 2, 1, 1, 1, 1, 1, 1],
    )


def ruled(*, num_classes: int = 5, image_size: int = 8) -> SearchSpace:
    """A chain with rules, and decisions that are inert unless others, themselves conditional, ask for them.

    Exactly two of three steps are kept; a pooling in the last one asks for the tail. One option is a tuple.
    """
    decisions = [
        Decision("width", (4, 6), "width"),
        *[Decision(f"step{i}", ("skip", "conv", "pool")) for i in (1, 2, 3)],
        Decision("tail", ("skip", "block")),
        Decision("shape", ((3, 1), (5, 1), (3, 2)), when=("tail", ("block",))),  # kernel, dilation
        Decision("gate", (False, True), when=("shape", ((5, 1), (3, 2)))),
    ]

    def step(width: int, kind: str) -> Stack:
        start = Stack(width, image_size)
        if kind == "conv":
            return start.conv("conv", width, kernel=3).batch_norm().activation()
        return start if kind == "skip" else start.pool("max")

    def tail(width: int, kind: str, shape: tuple[int, int], gate: bool) -> Stack:
        start = Stack(width, image_size)
        if kind == "skip":
            return start
        kernel, dilation = shape
        body = start.conv("expand", 2 * width).batch_norm().activation()
        moved = body.depthwise(f"depthwise{kernel}_{dilation}", kernel=kernel, dilation=dilation).batch_norm("norm")
        if gate and shape != (3, 1):
            moved = moved.gate(squeeze_excite(2 * width, image_size))
        return start.residual(moved.activation().conv("project", width).batch_norm())

    def classifier(width: int) -> Stack:
        return Stack(width, image_size).global_pool().dropout().linear("linear", num_classes)

    templates = [
        Template("stem", ("width",), lambda w: Stack(3, image_size).conv("conv", w).batch_norm()),
        *[Template(f"step{i}", ("width", f"step{i}"), step) for i in (1, 2, 3)],
        Template("tail", ("width", "tail", "shape", "gate"), tail),
        Template("classifier", ("width",), classifier),
    ]
    rules = [
        Rule(("step1", "step2", "step3"), lambda *steps: sum(s != "skip" for s in steps) == 2),
        Rule(("tail", "step3"), lambda tail, step: step != "pool" or tail == "block"),  # not in network order
    ]
    return SearchSpace(
        "ruled",
        decisions,
        templates,
        image_size=image_size,
        options={"num_classes": num_classes, "image_size": image_size},
        rules=rules,
        groups=[["width"], ["step1", "step2", "step3"], ["tail", "shape", "gate"]],
    )


def grouped(*, num_classes: int = 5, image_size: int = 8) -> SearchSpace:
    """A chain with grouped convolutions, and depthwise ones that may have a single channel."""
    decisions = [Decision("stem", (1, 2, 4), "width"), Decision("hidden", (4, 8, 16), "width")]

    def stem(width: int) -> Stack:
        start = Stack(3, image_size).conv("conv", width, kernel=3).batch_norm()
        return start.depthwise("depthwise", kernel=3, stride=2).batch_norm().activation()

    def body(width: int, hidden: int) -> Stack:
        start = Stack(width, -(-image_size // 2)).conv("expand", hidden).batch_norm().activation()
        return start.conv("grouped", hidden, kernel=3, groups=4).batch_norm().activation()

    def classifier(hidden: int) -> Stack:
        return Stack(hidden, -(-image_size // 2)).global_pool().linear("linear", num_classes)

    templates = [
        Template("stem", ("stem",), stem),
        Template("body", ("stem", "hidden"), body),
        Template("classifier", ("hidden",), classifier),
    ]
    options = {"num_classes": num_classes, "image_size": image_size}
    return SearchSpace("grouped", decisions, templates, image_size=image_size, options=options)


def edges(*, num_classes: int = 5, image_size: int = 8) -> SearchSpace:
    """A node that sums two of three edges: absent parts, parallel branches, and a form of its own in search.

    In search batch norms learn nothing, pools have one, and a convolution sees half of the channels.
    """
    half = image_size // 2
    names = [f"edge{i}" for i in range(3)]
    operations = ("none", "pool", "halves", "conv")

    def edge(width: int, kind: str, search: bool = False) -> Stack | None:
        start = Stack(width, image_size)
        if kind == "none":
            return None
        if kind == "pool":
            pooled = start.pool("avg", stride=2)
            return pooled.batch_norm("pool_norm", affine=False) if search else pooled
        if kind == "halves":
            active = start.activation()
            first = Stack(width, image_size)
            parts = [first.conv("half0", width // 2, stride=2), first.shift().conv("half1", width // 2, stride=2)]
            return active.parallel(parts).batch_norm("halves_norm", affine=not search)
        if not search:
            return start.activation().conv("conv", width, kernel=3, stride=2).batch_norm()
        worked = start.channels(0, width // 2).activation().conv("conv", width // 2, kernel=3, stride=2)
        rest = start.channels(width // 2, width).pool("max", kernel=2, stride=2, padded=False)
        return start.parallel([worked.batch_norm(affine=False), rest]).shuffle(2)

    templates = [
        Template("stem", ("width",), lambda w: Stack(3, image_size).conv("conv", w, kernel=3).batch_norm()),
        *[Template(n, ("width", n), edge, inputs=("stem",), search=partial(edge, search=True)) for n in names],
        Template("node", ("width",), lambda w: Stack(w, half), tuple(names), "sum"),
        Template("classifier", ("width",), lambda w: Stack(w, half).global_pool().linear("linear", num_classes)),
    ]
    return SearchSpace(
        "edges",
        [Decision("width", (4, 8), "width"), *[Decision(n, operations) for n in names]],
        templates,
        image_size=image_size,
        options={"num_classes": num_classes, "image_size": image_size},
        rules=[Rule(tuple(names), lambda *kinds: sum(kind != "none" for kind in kinds) == 2)],
    )


def squeeze_excite(width: int, side: int) -> Stack:
    """A gate of two 1x1 convolutions on the pooled features, for :meth:`Stack.gate`."""
    squeezed = Stack(width, side).global_pool().conv("squeeze", 2, bias=True).activation()
    return squeezed.conv("excite", width, bias=True).activation("hard_sigmoid")


_EXAMPLES: dict[str, Callable[[], SearchSpace]] = {
    "two_exits": two_exits,
    "ruled": ruled,
    "grouped": grouped,
    "edges": edges,
}
