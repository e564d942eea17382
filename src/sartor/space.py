"""What can be chosen: a space of architectures, its exact counts and its uniform samples."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from sartor.blueprint import NORM_EPS, Block, Blueprint
from sartor.costs.factors import Factor, FactorCost
from sartor.decisions import Decision, Rule, Template, tabulate_rule
from sartor.errors import RequestError
from sartor.memory import PICTURES
from sartor.stack import Stack
from sartor.wiring import ancestors

if TYPE_CHECKING:
    from torch import nn

    from sartor.elastic.supernet import Supernet
    from sartor.initialisers import Initialiser


# A network as it is built and counted, or as a supernet runs it.
Form = Literal["final", "search"]


@dataclass(frozen=True, eq=False)
class Architecture:
    """One option per decision of a space, all rules kept; immutable and hashable."""

    space: SearchSpace = field(repr=False)
    row: tuple[int, ...]

    @property
    def values(self) -> dict[str, Any]:
        """Decision name -> chosen option value."""
        return {d.name: d.options[i] for d, i in zip(self.space.decisions, self.row, strict=True)}

    @cached_property
    def blueprint(self) -> Blueprint:
        """The concrete layers."""
        return self.space.blueprint(self.values)

    def build(self, *, seed: int = 0, dropout: float = 0.0, initialiser: Initialiser = "he_fan_out") -> nn.Module:
        """The plain network with freshly initialised weights."""
        return self.blueprint.build(seed=seed, dropout=dropout, initialiser=initialiser)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; :meth:`SearchSpace.from_dict` reads it back."""
        return {"space": self.space.name, "choices": self.values}

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Architecture):
            return NotImplemented
        return self.row == other.row and self.space.fingerprint == other.space.fingerprint

    def __hash__(self) -> int:
        return hash((self.row, self.space.fingerprint))

    def __str__(self) -> str:
        return f"{self.space.name}({'-'.join(str(v) for v in self.values.values())})"


class SearchSpace:
    """Decisions in network order, the templates that give them a meaning, and the rules they obey.

    Args:
        name, options: how :func:`sartor.spaces.create` makes this space again.
        decisions: in network order, which keeps the solvers' frontier small.
        templates: in order of execution; the last one is the output unless templates are marked as exits.
        groups: which decisions form one joint choice (default: each its own).
        references: name -> option values of known networks; those that the space holds are listed.
        smallest, largest: option indices where they mean something (default: first and last of width decisions).
        norm_eps: what batch norms add to the variance, in the supernet and in every network of the space.
        auxiliary: a head for the training of found networks alone (see :class:`sartor.blueprint.Blueprint`).
    """

    # The only rows that exist, where that is a list (a table of trained networks); None: all that keep the rules.
    rows: NDArray[np.int64] | None = None

    def __init__(
        self,
        name: str,
        decisions: Sequence[Decision],
        templates: Sequence[Template],
        *,
        image_size: int,
        in_channels: int = 3,
        options: Mapping[str, Any] | None = None,
        groups: Sequence[Sequence[str]] | None = None,
        rules: Sequence[Rule] = (),
        references: Mapping[str, Mapping[str, Any]] | None = None,
        smallest: Sequence[int] | None = None,
        largest: Sequence[int] | None = None,
        uniform: Callable[[float], Mapping[str, Any]] | None = None,
        norm_eps: float = NORM_EPS,
        auxiliary: Template | None = None,
    ) -> None:
        self.name = name
        self.options = dict(options or {})
        self.decisions = tuple(decisions)
        self.templates = tuple(templates)
        self.image_size = image_size
        self.in_channels = in_channels
        self.norm_eps = norm_eps
        self.auxiliary = auxiliary
        self.index = {d.name: i for i, d in enumerate(self.decisions)}
        self.sizes = tuple(len(d.options) for d in self.decisions)
        self.groups = tuple(
            tuple(sorted(self.index[n] for n in group)) for group in groups or [[d.name] for d in self.decisions]
        )
        self.uniform = uniform
        self._references = dict(references or {})
        all_widths = all(d.kind == "width" for d in self.decisions)
        default = ([0] * len(self.sizes), [n - 1 for n in self.sizes]) if all_widths else (None, None)
        self._smallest = smallest if smallest is not None else default[0]
        self._largest = largest if largest is not None else default[1]
        self.rules = tuple(tabulate_rule(rule, self.decisions) for rule in rules)
        self._stacks: dict[tuple[str, Form, tuple[Any, ...]], Stack | None] = {}
        self._costs: dict[tuple[Any, ...], FactorCost] = {}
        self._check()

    # ------------------------------------------------------------------ architectures

    def architecture(self, row: Sequence[int] | NDArray[Any]) -> Architecture:
        """The architecture of one row of option indices; refuses a row that breaks a rule."""
        indices = tuple(int(i) for i in row)
        if len(indices) != len(self.sizes):
            raise RequestError(f"{self.name} has {len(self.sizes)} decisions, the row has {len(indices)}")
        for decision, i in zip(self.decisions, indices, strict=True):
            if not 0 <= i < len(decision.options):
                raise RequestError(
                    f"{decision.name}: option {i} does not exist, allowed are 0 to {len(decision.options) - 1}"
                )
        if not self.valid(np.asarray([indices]))[0]:
            raise RequestError(f"row {indices} breaks a rule of {self.name}")
        return Architecture(self, indices)

    def encode(self, architecture: Architecture | Mapping[str, Any]) -> NDArray[np.int64]:
        """Option indices ``[D]`` of an architecture, or of a mapping decision name -> option value."""
        values = architecture.values if isinstance(architecture, Architecture) else architecture
        unknown = sorted(set(values) ^ set(self.index))
        if unknown:
            raise RequestError(
                f"{self.name} has decisions {', '.join(self.index)}; these do not fit: {', '.join(unknown)}"
            )
        row = np.empty(len(self.decisions), dtype=np.int64)
        for i, decision in enumerate(self.decisions):
            value = values[decision.name]
            if value not in decision.options:
                raise RequestError(f"{decision.name}: {value!r} is not an option, allowed are {decision.options}")
            row[i] = decision.options.index(value)
        return row

    def from_dict(self, data: Mapping[str, Any]) -> Architecture:
        """The inverse of :meth:`Architecture.to_dict`."""
        if data.get("space") != self.name:
            raise RequestError(f"an architecture of space {data.get('space')!r} does not belong to {self.name!r}")
        return self.architecture(self.encode({name: _tuples(v) for name, v in data["choices"].items()}))

    @cached_property
    def smallest(self) -> Architecture | None:
        """The smallest architecture, where that means something."""
        return None if self._smallest is None else self.architecture(self._smallest)

    @cached_property
    def largest(self) -> Architecture | None:
        """The largest architecture, where that means something."""
        return None if self._largest is None else self.architecture(self._largest)

    @cached_property
    def references(self) -> dict[str, Architecture]:
        """Known networks that this space holds, by name."""
        found = {}
        for name, values in self._references.items():
            if all(values[d.name] in d.options for d in self.decisions):
                found[name] = self.architecture(self.encode(values))
        return found

    @cached_property
    def fingerprint(self) -> str:
        """Name and options: two spaces with the same fingerprint hold the same architectures."""
        return f"{self.name}{sorted(self.options.items(), key=str)}"

    # ------------------------------------------------------------------ counts and samples

    @cached_property
    def cardinality(self) -> int:
        """The exact number of valid rows."""
        return self._count(self.rules)

    @cached_property
    def distinct(self) -> int:
        """The exact number of really different networks: rows in which inert decisions are counted once."""
        return self._count((*self.rules, *self._canonical_rules()))

    def sample(self, n: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """``n`` rows ``[n, D]``, uniform over valid rows, with replacement."""
        if not self.rules:
            return rng.integers(np.asarray(self.sizes), size=(n, len(self.sizes)))
        from sartor import mrf

        return np.asarray(mrf.sample(self.problem(), temperature=1.0, n=n, rng=rng), dtype=np.int64)

    def valid(self, rows: NDArray[Any]) -> NDArray[np.bool_]:
        """Which rows ``[n, D]`` keep every rule."""
        ok = np.ones(len(rows), dtype=bool)
        for rule in self.rules:
            ok &= rule.table[tuple(rows[:, d] for d in rule.scope)]
        return ok

    def active(self, rows: NDArray[Any]) -> NDArray[np.bool_]:
        """Which decisions ``[n, D]`` matter; the others are inert."""
        active = np.ones(np.shape(rows), dtype=bool)
        for i, decision in enumerate(self.decisions):
            if decision.when is not None:
                parent = self.index[decision.when[0]]
                active[:, i] = active[:, parent] & np.isin(rows[:, parent], self._when_indices(decision))
        return active

    def canonical(self, rows: NDArray[Any]) -> NDArray[Any]:
        """The rows with inert decisions set to option 0: equal rows are equal networks."""
        return np.where(self.active(rows), rows, 0)

    def problem(self, scores: FactorCost | None = None) -> Any:
        """This space's rules and ``scores`` (default: none) as a problem for the solvers of :mod:`sartor.mrf`."""
        from sartor import mrf

        names = [d.name for d in self.decisions]
        return mrf.Problem(self.sizes, scores or FactorCost(self.sizes, ()), self.rules, names)

    # ------------------------------------------------------------------ meaning

    @property
    def exits(self) -> int:
        """The number of exits."""
        return max(1, sum(t.is_exit for t in self.templates))

    @property
    def num_classes(self) -> int:
        """Outputs of the network."""
        output = self._cells(self.templates[-1], "final")[0]
        assert output is not None
        return output.out_channels

    @cached_property
    def cost_names(self) -> tuple[str, ...]:
        """The analytic costs that this space has as factors over a few decisions."""
        from sartor.costs.analytic import ANALYTIC_COSTS

        names = ANALYTIC_COSTS
        return tuple(n for n in names if n != "peak_memory_bytes") if self.has_absent_parts else names

    @cached_property
    def has_absent_parts(self) -> bool:
        """Whether some choices leave parts of the network away, so that what waits for what depends on many of them."""
        return any(stack is None for t in self.templates for stack in self._cells(t, "final"))

    def read_by_exits(self, first: int, last: int) -> tuple[int, ...]:
        """Positions of the templates that some exit from ``first`` to ``last`` reads, whatever is chosen."""
        names = [t.name for t in self.templates]
        exits = [t.name for t in self.templates if t.is_exit] or names[-1:]
        needed = ancestors({n: self.inputs(i) for i, n in enumerate(names)}, exits[first : last + 1])
        return tuple(i for i, n in enumerate(names) if n in needed)

    def blueprint(self, values: Mapping[str, Any], name: str | None = None, form: Form = "final") -> Blueprint:
        """The concrete layers for option values, which need not be in the grid."""
        stacks = [self.stack(template, values, form) for template in self.templates]
        absent = {t.name for t, stack in zip(self.templates, stacks, strict=True) if stack is None}
        blocks = [self._block(i, stack) for i, stack in enumerate(stacks) if stack is not None]
        if absent:
            blocks = [
                dataclasses.replace(b, inputs=tuple(n for n in b.inputs if n not in absent))
                if not absent.isdisjoint(b.inputs)
                else b
                for b in blocks
            ]
        return Blueprint(
            tuple(blocks),
            self.in_channels,
            self.image_size,
            name or self.name,
            self.norm_eps,
            self._auxiliary_block(values) if form == "final" else None,
        )

    def stack(self, template: Template, values: Mapping[str, Any], form: Form = "final") -> Stack | None:
        """The resolved stack of one template, cached; None where the network has no such part."""
        searched = form == "search" and template.search is not None
        key = (template.name, form if searched else "final", tuple([values[n] for n in template.scope]))
        if key not in self._stacks:
            resolve = template.search if searched else template.resolve
            assert resolve is not None
            self._stacks[key] = resolve(*key[2])
        return self._stacks[key]

    def inputs(self, position: int) -> tuple[str, ...]:
        """The names of the blocks that the template at ``position`` reads."""
        template = self.templates[position]
        if template.inputs:
            return template.inputs
        return (self.templates[position - 1].name,) if position else (PICTURES,)

    def cost(
        self,
        name: str,
        exit: int | None = None,
        lazy: bool = False,
        dtype: str = "float32",
        device: str | None = None,
    ) -> FactorCost:
        """A cost of this space by name: ``macs``, ``params``, ``peak_memory_bytes``, or the ``latency_ms`` of a device.

        ``exit`` counts up to that exit (default: the last), ``lazy`` only what that exit reads, ``dtype`` is that of
        the activations in memory. A latency is that of the whole network, in floating point; budgets use the whole
        nanoseconds of :func:`sartor.costs.devices.device_cost`.
        """
        key = (name, exit, lazy, dtype, device)
        if key not in self._costs:
            from sartor.costs import analytic, devices

            if name == devices.LATENCY:
                self._costs[key] = devices.latency_ms(self, device, exit, lazy)
            elif device is not None:
                raise RequestError(f"{name} is the same on every device; leave out device {device!r}")
            else:
                self._costs[key] = analytic.analytic_cost(self, name, exit=exit, lazy=lazy, dtype=dtype)
        return self._costs[key]

    def supernet(self, *, seed: int = 0, initialiser: Initialiser = "he_fan_out") -> Supernet:
        """One set of weights for every architecture of this space."""
        from sartor.elastic.supernet import Supernet

        return Supernet(self, seed=seed, initialiser=initialiser)

    def template_cells(self, template: Template, form: Form = "final") -> tuple[tuple[int, ...], list[Stack | None]]:
        """The template's decision indices in ascending order and its stacks for every combination of options."""
        scope = tuple(sorted(self.index[n] for n in template.scope))
        return scope, self._cells(template, form)

    def _cells(self, template: Template, form: Form) -> list[Stack | None]:
        names = [self.decisions[d].name for d in sorted(self.index[n] for n in template.scope)]
        combinations = itertools.product(*[self.decisions[self.index[n]].options for n in names])
        return [self.stack(template, dict(zip(names, values, strict=True)), form) for values in combinations]

    def _auxiliary_block(self, values: Mapping[str, Any]) -> Block | None:
        """The head for training alone, which reads one of the blocks."""
        if self.auxiliary is None or (stack := self.stack(self.auxiliary, values)) is None:
            return None
        return Block(self.auxiliary.name, self.auxiliary.inputs, stack, is_exit=True)

    def _block(self, position: int, stack: Stack) -> Block:
        template = self.templates[position]
        return Block(template.name, self.inputs(position), stack, template.join, template.stage, template.is_exit)

    # ------------------------------------------------------------------ rules

    def _canonical_rules(self) -> Iterable[Factor]:
        """For every decision that can be inert: where it is, only option 0 counts."""
        for i in range(len(self.decisions)):
            scope = [i]
            while (when := self.decisions[scope[0]].when) is not None:
                scope.insert(0, self.index[when[0]])
            if len(scope) > 1:
                rows = np.zeros((math.prod(self.sizes[d] for d in scope), len(self.sizes)), dtype=np.int64)
                rows[:, scope] = np.indices([self.sizes[d] for d in scope]).reshape(len(scope), -1).T
                allowed = self.active(rows)[:, i] | (rows[:, i] == 0)
                yield Factor(tuple(scope), allowed.reshape([self.sizes[d] for d in scope]))

    def _when_indices(self, decision: Decision) -> list[int]:
        assert decision.when is not None
        options = self.decisions[self.index[decision.when[0]]].options
        return [options.index(value) for value in decision.when[1]]

    def _count(self, rules: Sequence[Factor]) -> int:
        if not rules:
            return math.prod(self.sizes)
        from sartor import mrf

        return mrf.count(mrf.Problem(self.sizes, FactorCost(self.sizes, ()), rules, [d.name for d in self.decisions]))

    def _check(self) -> None:
        if len(self.index) != len(self.decisions):
            raise ValueError(f"{self.name}: decision names must be unique")
        names = [t.name for t in self.templates]
        if len(set(names)) != len(names):
            raise ValueError(f"{self.name}: template names must be unique")
        for i, template in enumerate(self.templates):
            unknown = set(template.inputs) - {PICTURES, *names[:i]}
            if unknown:
                raise ValueError(f"{self.name}: {template.name} reads {', '.join(sorted(unknown))} before it is made")
        for i, decision in enumerate(self.decisions):
            if decision.when is not None and self.index[decision.when[0]] >= i:
                raise ValueError(f"{decision.name} must come after the decision {decision.when[0]} it depends on")

    def __repr__(self) -> str:
        return f"SearchSpace({self.name}, {len(self.decisions)} decisions, {self.cardinality:.3g} architectures)"


def _tuples(value: Any) -> Any:
    """An option as it was before JSON turned its tuples into lists."""
    return tuple(_tuples(v) for v in value) if isinstance(value, list) else value
