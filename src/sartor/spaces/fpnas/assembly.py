"""How a macro table becomes a space: the decisions of its rows or blocks, and their templates."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, get_type_hints

from sartor.decisions import Decision, Template
from sartor.space import SearchSpace
from sartor.spaces.fpnas import blocks
from sartor.spaces.fpnas.blocks import ResolveBlock, block_resolver
from sartor.spaces.fpnas.macro import Macro, channel_options
from sartor.spaces.fpnas.setting import Setting
from sartor.stack import Stack

KERNELS = (0, 3, 5)  # 0: the block is bypassed
ACTIVATIONS = ("relu", "hard_swish")

# Name and options of the fifth variable: 0 nothing, 1 squeeze-excite, 2 and 4 split attention.
Attention = tuple[str, tuple[int, ...]]
SQUEEZE_EXCITE: Attention = ("se", (0, 1))
SPLITS: Attention = ("splits", (0, 1, 2, 4))


@dataclass(frozen=True)
class Place:
    """One block of the network: where it stands and what it can choose.

    ``choices`` is the prefix of its decisions: its row, or its own name in a fine space. A ``repeated`` block follows
    one with the same choices.
    """

    name: str
    choices: str
    repeated: bool
    stride: int
    expansions: tuple[float, ...]
    channels: tuple[int, ...]
    attention: Attention

    @property
    def decisions(self) -> tuple[Decision, ...]:
        """What the place chooses; an expansion with one value is no decision.

        The paper counts the values of a bypassed block as different (720 per row); they are one network, which
        ``when`` says. The channels stay: a bypass has a convolution where shapes differ.
        """
        kernel = f"{self.choices}_kernel"
        active = (kernel, tuple(k for k in KERNELS if k))
        name, options = self.attention
        searched = [Decision(kernel, KERNELS), Decision(f"{self.choices}_activation", ACTIVATIONS, when=active)]
        searched.append(Decision(f"{self.choices}_{name}", options, when=active))
        if len(self.expansions) > 1:
            searched.append(Decision(f"{self.choices}_expansion", self.expansions, "width", when=active))
        return (*searched, Decision(f"{self.choices}_channels", self.channels, "width"))


def macro_space(
    module: str, macro: Macro, attention: Attention, *, image_size: int = 224, fine: bool = False
) -> Callable[..., SearchSpace]:
    """The function that builds the space of a macro table; it takes the options of :class:`Setting`.

    Args:
        module: the dotted name of the module that describes the space; its last part is the space's name.
        attention: the fifth variable of a block beside kernel, activation, expansion and channels.
        image_size: the default size of pictures.
        fine: every block chooses for itself; otherwise the blocks of a row share one choice.
    """

    name = module.rpartition(".")[2]

    def build(**options: Any) -> SearchSpace:
        setting = Setting(**{"image_size": image_size, **options})
        setting.check(name)
        table = macro.scaled(setting.multiplier).shortened(setting.depth).laid_out(setting.layout, setting.image_size)
        places = list(_places(table, setting, attention, fine))
        groups = [place.decisions for place in places if not place.repeated]
        decisions = [decision for group in groups for decision in group]
        return SearchSpace(
            name,
            decisions,
            list(_templates(table, places, setting)),
            image_size=setting.image_size,
            in_channels=setting.in_channels,
            options=setting.options,
            groups=[[decision.name for decision in group] for group in groups],
            smallest=_smallest([place for place in places if not place.repeated], table.stem),
            largest=[len(decision.options) - 1 for decision in decisions],
        )

    parameters = inspect.signature(Setting).parameters.values()
    shown = [p.replace(default=image_size) if p.name == "image_size" else p for p in parameters]
    build.__name__, build.__qualname__, build.__module__ = name, name, module
    build.__annotations__ = {**get_type_hints(Setting), "return": SearchSpace}
    build.__signature__ = inspect.Signature(shown, return_annotation=SearchSpace)  # type: ignore[attr-defined]
    return build


def _places(table: Macro, setting: Setting, attention: Attention, fine: bool) -> Iterator[Place]:
    for r, row in enumerate(table.rows, 1):
        for b in range(1, row.blocks + 1):
            name = f"row{r}_block{b}"
            yield Place(
                name,
                choices=name if fine else f"row{r}",
                repeated=b > 1 and not fine,
                stride=row.stride if b == 1 else 1,
                expansions=row.expansions,
                channels=channel_options(row, setting.multiplier, setting.channel_choices),
                attention=attention,
            )


def _smallest(places: Sequence[Place], stem: int) -> list[int]:
    """Every block bypassed at few channels.

    Not the fewest everywhere: a bypass that changes the channels is a convolution, so that a place takes those of the
    next one where that keeps them, and the first place those of the stem.
    """
    channels = [place.channels[0] for place in places]
    for i in reversed(range(len(places) - 1)):
        if places[i + 1].stride == 1 and channels[i + 1] in places[i].channels:
            channels[i] = channels[i + 1]
    if stem in places[0].channels:
        channels[0] = stem
    rows = [[0] * (len(p.decisions) - 1) + [p.channels.index(c)] for p, c in zip(places, channels, strict=True)]
    return [option for row in rows for option in row]


def _templates(table: Macro, places: Sequence[Place], setting: Setting) -> Iterator[Template]:
    side = setting.image_size
    yield Template("stem", (), partial(blocks.stem, setting.in_channels, side, table.stem, table.stem_stride))
    side = -(-side // table.stem_stride)
    resolver = cache(partial(block_resolver, rules=setting.rules))
    before: Place | None = None
    for place in places:
        max_in = before.channels[-1] if before else table.stem
        resolve = resolver(side, place.stride, max_in)
        yield _block(place, before, table.stem, resolve)
        before, side = place, -(-side // place.stride)
    yield from _heads(table, f"{places[-1].choices}_channels", side, setting)


def _block(place: Place, before: Place | None, stem: int, block: ResolveBlock) -> Template:
    """The template of one block: it reads its own choices and the channels of the block before it."""
    own = tuple(decision.name for decision in place.decisions)
    fixed_expansion = place.expansions[0] if len(place.expansions) == 1 else None
    reads_before = before is not None and not place.repeated

    def resolve(*values: Any) -> Stack:
        arguments = list(values)
        if not reads_before:
            arguments.insert(0, values[-1] if place.repeated else stem)
        if fixed_expansion is not None:
            arguments.insert(-1, fixed_expansion)
        return block(*arguments)

    return Template(place.name, (f"{before.choices}_channels", *own) if before and reads_before else own, resolve)


def _heads(table: Macro, channels: str, side: int, setting: Setting) -> Iterator[Template]:
    """Head and classifier after the last row."""
    pooled = setting.head == "pool"
    if pooled:
        yield Template("tail", (channels,), lambda width: blocks.bypass(Stack(width, side), table.tail, 1))
        yield Template("head", (), partial(blocks.pool_head, table.tail, side, table.head))
    else:
        yield Template("head", (channels,), lambda width: blocks.conv_head(width, side, table.head))
    yield Template("classifier", (), partial(blocks.classifier, table.head, 1 if pooled else side, setting.num_classes))
