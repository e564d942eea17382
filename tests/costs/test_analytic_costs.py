"""Costs of spaces with exits: which blocks count, and what memory sees."""

from __future__ import annotations

import numpy as np
import pytest

from sartor.blueprint import Blueprint, Join
from sartor.decisions import Decision, Template
from sartor.space import SearchSpace
from sartor.stack import Stack
from sartor.testing import plain_peak_elements, small_space

ROWS = small_space("two_exits").sample(40, np.random.default_rng(0))
FIRST_EXIT = ("stem", "mixer", "left", "right", "merged", "exit0")
LAST_EXIT = ("stem", "mixer", "left", "right", "merged", "deep", "thumbnail", "sum", "exit1")


@pytest.mark.parametrize("name", ["macs", "params"])
@pytest.mark.parametrize(
    ("exit", "lazy", "without"),
    [
        (0, False, ("deep", "thumbnail", "sum", "exit1")),
        (1, False, ()),
        (1, True, ("exit0",)),
        (None, True, ("exit0",)),
    ],
)
def test_exits_count_what_they_run(name: str, exit: int | None, lazy: bool, without: tuple[str, ...]) -> None:
    """Up to an exit everything before it counts; lazily, only what that exit reads."""
    space = small_space("two_exits")
    found = space.cost(name, exit=exit, lazy=lazy)(ROWS)
    for row, cost in zip(ROWS, found, strict=True):
        blocks = [b for b in space.architecture(row).blueprint.blocks if b.name not in without]
        assert cost == sum(getattr(layer, name) for b in blocks for layer in b.layers)


def test_memory_of_every_exit() -> None:
    """The memory up to an exit is that of a network which ends there."""
    space = small_space("two_exits")
    for names, options in ((FIRST_EXIT, {"exit": 0}), (LAST_EXIT, {"lazy": True})):
        found = space.cost("peak_memory_bytes", **options)(ROWS)  # type: ignore[arg-type]
        for row, cost in zip(ROWS, found, strict=True):
            blocks = tuple(b for b in space.architecture(row).blueprint.blocks if b.name in names)
            assert cost == Blueprint(blocks, space.in_channels, space.image_size).peak_memory_bytes


def test_memory_where_everything_waits() -> None:
    """A space whose peak lies in its branches: tensors and pictures that wait are in the factors."""
    space = waiting()
    rows = np.indices(space.sizes).reshape(len(space.sizes), -1).T
    expected = [4 * plain_peak_elements(space.architecture(row).blueprint) for row in rows]
    assert space.cost("peak_memory_bytes")(rows).tolist() == expected
    assert expected == [space.architecture(row).blueprint.peak_memory_bytes for row in rows]
    assert len(set(expected)) > 6


def waiting() -> SearchSpace:
    """Branches a and b wait for c; the first exit's result waits for the last; all of them read the pictures."""
    decisions = [Decision(n, (2, 5, 9), "width") for n in ("a", "b", "c")]

    def conv(width: int) -> Stack:
        return Stack(3, 4).conv("conv", width).batch_norm()

    def exit1(a: int, b: int, c: int) -> Stack:
        return Stack(a + b + c + 3, 4).conv("conv", 2)

    templates = [
        Template("a", ("a",), conv, inputs=("pictures",)),
        Template("exit0", ("a",), lambda a: Stack(a, 4).conv("conv", 7), inputs=("a",), is_exit=True),
        Template("b", ("b",), conv, inputs=("pictures",)),
        Template("c", ("c",), conv, inputs=("pictures",)),
        Template("exit1", ("a", "b", "c"), exit1, ("a", "b", "c", "pictures"), "concat", stage=1, is_exit=True),
    ]
    return SearchSpace("waiting", decisions, templates, image_size=4)


def test_every_template_is_costed() -> None:
    """The factors of a chain have the templates' scopes; blocks of one decision are absorbed by their neighbours."""
    space = small_space("mobilenet_v1")
    scopes = [f.scope for f in space.cost("macs").factors]
    assert scopes == [(i, i + 1) for i in range(13)]


@pytest.mark.parametrize("seed", range(60))
def test_memory_of_random_spaces_with_skipped_blocks(seed: int) -> None:
    """Blocks that may be empty, read and skipped at random: a tensor handed on by several names counts once."""
    space = random_skips(np.random.default_rng(seed))
    rows = np.indices(space.sizes).reshape(len(space.sizes), -1).T
    expected = [4 * plain_peak_elements(space.architecture(row).blueprint) for row in rows]
    assert expected == [space.architecture(row).blueprint.peak_memory_bytes for row in rows]
    assert space.cost("peak_memory_bytes")(rows).tolist() == expected


def random_skips(rng: np.random.Generator) -> SearchSpace:
    """Six blocks which are empty, an activation or a convolution, and read one or two earlier blocks."""
    decisions = [Decision("width", (2, 5), "width")]
    templates = [Template("stem", ("width",), lambda w: Stack(3, 2).conv("conv", w))]

    def resolve(width: int, kind: str) -> Stack:
        start = Stack(width, 2)
        return {"skip": start, "act": start.activation(), "wide": start.conv("a", 9).conv("b", width)}[kind]

    for i in range(6):
        decisions.append(Decision(f"kind{i}", tuple(rng.permutation(["skip", "act", "wide"])[:2].tolist())))
        earlier = [t.name for t in templates]
        inputs = tuple(str(n) for n in rng.permutation(earlier)[: rng.integers(1, 3)])
        join: Join = "single" if len(inputs) == 1 else "sum"
        scope = ("width", f"kind{i}")
        templates.append(Template(f"block{i}", scope, resolve, inputs, join, is_exit=bool(rng.random() < 0.2)))
    read = {n for t in templates for n in t.inputs}
    loose = tuple(t.name for t in templates if t.name not in read and not t.is_exit)
    join = "single" if len(loose) == 1 else "sum"
    templates.append(
        Template("end", ("width",), lambda w: Stack(w, 2).conv("end", 1), loose or ("stem",), join, 0, True)
    )
    return SearchSpace("skips", decisions, templates, image_size=2)
