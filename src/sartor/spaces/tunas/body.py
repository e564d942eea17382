"""What the three spaces have in common: strides, the decisions of a searched block, and its templates."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sartor.decisions import Decision, Template
from sartor.errors import RequestError
from sartor.spaces.layouts import Layout, settled
from sartor.spaces.tunas.blocks import bottleneck, round8
from sartor.stack import Stack

KERNELS = (3, 5, 7)
LAYER_OR_SKIP = ("layer", "skip")
NORM_EPS = 1e-3  # what TensorFlow's batch norms add to the variance
FILTER_MULTIPLIERS = (0.5, 0.625, 0.75, 1.0, 1.25, 1.5, 2.0)
_SMALLEST_IMAGE = 8


@dataclass(frozen=True)
class SearchedBlock:
    """A bottleneck and up to ``depth - 1`` optional residual ones, all with the block's filters.

    ``side`` is that of the input; ``function`` the activation, ``squeeze`` whether squeeze-excite is searched.
    """

    number: int
    depth: int
    side: int
    stride: int
    expansions: tuple[int, ...]
    function: str = "relu"
    squeeze: bool = False
    collapsed: bool = True

    @property
    def out_side(self) -> int:
        """Side of the output."""
        return -(-self.side // self.stride)

    def decisions(self) -> list[Decision]:
        """The choices of every layer in order; those of an optional layer matter only where the layer is kept."""
        found = []
        for layer in range(1, self.depth + 1):
            optional, name = layer > 1, f"block{self.number}_layer{layer}"
            when = (name, ("layer",)) if optional else None
            if optional:
                found.append(Decision(name, LAYER_OR_SKIP))
            found.append(Decision(self._name("kernel", layer), KERNELS, when=when))
            found.append(Decision(self._name("expansion", layer), self.expansions, "width", when))
            if self.squeeze:
                found.append(Decision(self._name("se", layer), (False, True), when=when))
        return found

    def templates(self) -> list[Template]:
        """One per layer; they read the filters of this block, the first one those of the block before it too."""
        own = f"filters{self.number}"
        first = Template(f"block{self.number}_layer1", (f"filters{self.number - 1}", own, *self._scope(1)), self._first)
        rest = [
            Template(f"block{self.number}_layer{i}", (own, f"block{self.number}_layer{i}", *self._scope(i)), self._next)
            for i in range(2, self.depth + 1)
        ]
        return [first, *rest]

    def _first(self, width_in: int, width: int, kernel: int, expansion: float, squeeze: bool = False) -> Stack:
        return self._bottleneck(Stack(width_in, self.side), width, kernel, expansion, squeeze, self.stride)

    def _next(self, width: int, layer: str, kernel: int, expansion: float, squeeze: bool = False) -> Stack:
        start = Stack(width, self.out_side)
        if layer == "skip":
            return start
        return start.residual(self._bottleneck(start, width, kernel, expansion, squeeze, 1))

    def _bottleneck(self, stack: Stack, width: int, kernel: int, expansion: float, squeeze: bool, stride: int) -> Stack:
        return bottleneck(
            stack,
            width,
            kernel,
            expansion,
            squeeze=squeeze,
            stride=stride,
            function=self.function,
            collapsed=self.collapsed,
        )

    def _scope(self, layer: int) -> tuple[str, ...]:
        kinds = ("kernel", "expansion", "se") if self.squeeze else ("kernel", "expansion")
        return tuple(self._name(kind, layer) for kind in kinds)

    def _name(self, kind: str, layer: int) -> str:
        return f"block{self.number}_{kind}{layer}"


def settle(templates: Iterable[Template], fixed: Mapping[str, Any]) -> list[Template]:
    """The templates with the names in ``fixed`` taken out of their scopes: what has one value is no decision."""
    return [_settled(t, {n: fixed[n] for n in t.scope if n in fixed}) for t in templates]


def _settled(template: Template, fixed: Mapping[str, Any]) -> Template:
    if not fixed:
        return template
    scope, whole = tuple(n for n in template.scope if n not in fixed), template.resolve

    def resolve(*values: Any) -> Stack | None:
        known = {**fixed, **dict(zip(scope, values, strict=True))}
        return whole(*[known[n] for n in template.scope])

    return Template(template.name, scope, resolve)


def filter_decisions(base: Sequence[int], multiplier: float) -> dict[str, Decision]:
    """``filters{b}`` of every block: the seven multiples of its base, rounded to multiples of 8, each once."""
    bases = [round8(b * multiplier) for b in base]
    choices = [tuple(sorted({round8(b * m) for m in FILTER_MULTIPLIERS})) for b in bases]
    return {f"filters{b}": Decision(f"filters{b}", options, "width") for b, options in enumerate(choices)}


def ends(decisions: Sequence[Decision]) -> tuple[list[int], list[int]]:
    """The rows of the smallest and the largest network: every optional layer skipped, and everything at its most.

    Decisions of a skipped layer stay at their first option.
    """
    smallest = [d.options.index("skip") if d.options == LAYER_OR_SKIP else 0 for d in decisions]
    largest = [0 if d.options == LAYER_OR_SKIP else len(d.options) - 1 for d in decisions]
    return smallest, largest


def strides_of(space: str, layouts: Mapping[str, tuple[int, ...]], layout: Layout, image_size: int) -> tuple[int, ...]:
    """The stride of every block of a layout."""
    if image_size < _SMALLEST_IMAGE:
        raise RequestError(f"{space}: image_size {image_size} is too small, at least {_SMALLEST_IMAGE} is needed")
    layout = settled(layout, image_size)
    if layout not in layouts:
        raise RequestError(f"{space}: unknown layout {layout!r}; known are auto, {', '.join(layouts)}")
    return layouts[layout]


def check_size(space: str, depth: int, multiplier: float) -> None:
    """Refuses a depth or a multiplier that leaves nothing to build."""
    if depth < 1:
        raise RequestError(f"{space}: depth {depth} leaves a block without layers; at least 1 is needed")
    if not multiplier > 0:
        raise RequestError(f"{space}: multiplier {multiplier} must be above 0")


def classifier(num_classes: int) -> Callable[[int], Stack]:
    """Dropout and a linear layer on pooled features."""
    return lambda width: Stack(width, 1).dropout().linear("linear", num_classes)
