"""Cells in the form of the field: per node two pairs (operation, input), inputs 0 and 1 being those of the cell.

The text is that of the official code, so that published cells can be pasted:

    Genotype(normal=[('sep_conv_3x3', 0), ...], normal_concat=range(2, 6), reduce=[...], reduce_concat=range(2, 6))
"""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sartor.errors import RequestError
from sartor.space import Architecture, SearchSpace
from sartor.spaces.ms_ranas.cell import EDGES_PER_NODE, decision_name, edges
from sartor.spaces.ms_ranas.operations import NONE

Pair = tuple[str, int]
_FORM = (
    "Genotype(normal=[('sep_conv_3x3', 0), ...], normal_concat=range(2, 4), reduce=[...], reduce_concat=range(2, 4))"
)
# The kinds of cells as decisions name them, and as genotypes do.
_FIELDS = {"normal": "normal", "reduction": "reduce"}


@dataclass(frozen=True)
class Genotype:
    """A pair of cells; ``reduce`` is empty where a network has no reduction cells."""

    normal: tuple[Pair, ...]
    reduce: tuple[Pair, ...] = ()

    @property
    def nodes(self) -> int:
        """The nodes of a cell."""
        return len(self.normal) // EDGES_PER_NODE

    def __str__(self) -> str:
        concat = f"range(2, {self.nodes + 2})"
        normal, reduce = ([tuple(pair) for pair in pairs] for pairs in (self.normal, self.reduce))
        own = f"normal={normal}, normal_concat={concat}"
        return f"Genotype({own}, reduce={reduce}, reduce_concat={concat if reduce else 'range(0)'})"

    def to_dict(self) -> dict[str, Any]:
        """Plain lists, for JSON."""
        return {"normal": [list(pair) for pair in self.normal], "reduce": [list(pair) for pair in self.reduce]}

    def values(self, kinds: Sequence[str] = ("normal", "reduction")) -> dict[str, str]:
        """Decision name -> operation.

        Raises:
            RequestError: a node has not two different inputs, or reads what is not made yet.
        """
        found = {decision_name(kind, *edge): NONE for kind in kinds for edge in edges(self.nodes)}
        for kind in kinds:
            pairs = getattr(self, _FIELDS[kind])
            if len(pairs) != EDGES_PER_NODE * self.nodes:
                raise RequestError(
                    f"genotype: {_FIELDS[kind]} has {len(pairs)} pairs; {self.nodes} nodes need {EDGES_PER_NODE} each"
                )
            for i, (name, source) in enumerate(pairs):
                decision = decision_name(kind, i // EDGES_PER_NODE, source)
                if found.get(decision) != NONE:
                    raise RequestError(
                        f"genotype: {_FIELDS[kind]}, node {i // EDGES_PER_NODE + 2} reads input {source}, which it "
                        "reads already or which comes later; every node reads two different ones before it"
                    )
                found[decision] = name
        return found


# The cell of the DARTS paper (second order), quark0/darts, genotypes.py.
DARTS_V2 = Genotype(
    normal=(
        ("sep_conv_3x3", 0),
        ("sep_conv_3x3", 1),
        ("sep_conv_3x3", 0),
        ("sep_conv_3x3", 1),
        ("sep_conv_3x3", 1),
        ("skip_connect", 0),
        ("skip_connect", 0),
        ("dil_conv_3x3", 2),
    ),
    reduce=(
        ("max_pool_3x3", 0),
        ("max_pool_3x3", 1),
        ("skip_connect", 2),
        ("max_pool_3x3", 1),
        ("max_pool_3x3", 0),
        ("skip_connect", 2),
        ("skip_connect", 2),
        ("max_pool_3x3", 1),
    ),
)
GENOTYPES = {"darts_v2": DARTS_V2}


def known_cells(nodes: int, kinds: Sequence[str]) -> dict[str, dict[str, str]]:
    """The published cells with so many nodes, as values of decisions."""
    return {name: genotype.values(kinds) for name, genotype in GENOTYPES.items() if genotype.nodes == nodes}


def read_genotype(space: SearchSpace, source: str | Mapping[str, Any] | Genotype) -> Architecture:
    """The architecture of a genotype: in the text form, as JSON or as the plain data of that, or as an object.

    Raises:
        RequestError: it has another form, or does not fit the space.
    """
    genotype = source if isinstance(source, Genotype) else _parsed(source)
    kinds = _kinds(space)
    nodes = int(space.options["nodes"])
    if genotype.nodes != nodes:
        raise RequestError(f"genotype: it has {genotype.nodes} nodes, the cells of this space have {nodes}")
    return space.architecture(space.encode(genotype.values(kinds)))


def write_genotype(architecture: Architecture, form: Literal["text", "json"] = "text") -> str:
    """The genotype of an architecture; :func:`read_genotype` reads both forms back.

    Raises:
        RequestError: the architecture's space has no cells.
    """
    genotype = genotype_of(architecture)
    return str(genotype) if form == "text" else json.dumps(genotype.to_dict())


def genotype_of(architecture: Architecture) -> Genotype:
    """The cells of an architecture."""
    space, values = architecture.space, architecture.values
    kinds, nodes = _kinds(space), int(space.options["nodes"])
    pairs = {
        _FIELDS[kind]: tuple(
            (name, source)
            for node, source in edges(nodes)
            if (name := values[decision_name(kind, node, source)]) != NONE
        )
        for kind in kinds
    }
    return Genotype(**pairs)


def _kinds(space: SearchSpace) -> tuple[str, ...]:
    if space.name != "ms_ranas":
        raise RequestError(f"genotypes belong to the space ms_ranas, not to {space.name}")
    return tuple(kind for kind in _FIELDS if any(d.name.startswith(f"{kind}_") for d in space.decisions))


def _parsed(source: str | Mapping[str, Any]) -> Genotype:
    try:
        data = source if isinstance(source, Mapping) else _fields(source)
        cells = {name: tuple((str(op), int(i)) for op, i in data.get(name, ())) for name in _FIELDS.values()}
        concats = {name: list(data.get(f"{name}_concat", ())) for name in cells}
    except (ValueError, TypeError, SyntaxError, AttributeError) as error:
        raise RequestError(f"genotype: {str(source)[:80]!r} has not the form {_FORM} or its JSON") from error
    for name, concat in concats.items():
        everything = list(range(2, len(cells[name]) // EDGES_PER_NODE + 2))
        if concat and sorted(concat) != everything:
            raise RequestError(
                f"genotype: {name}_concat joins nodes {concat}; the cells of this space join "
                f"all of theirs, {everything}"
            )
    return Genotype(**cells)


def _fields(text: str) -> Mapping[str, Any]:
    """The fields of the text form or of JSON; nothing of the text is run."""
    if text.lstrip().startswith("{"):
        data: Mapping[str, Any] = json.loads(text)
        return data
    call = ast.parse(text.strip(), mode="eval").body
    if not isinstance(call, ast.Call) or call.args:
        raise ValueError("no call with named fields")
    return {str(keyword.arg): _literal(keyword.value) for keyword in call.keywords}


def _literal(node: ast.expr) -> Any:
    """A literal, or a range of literals."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "range":
        return range(*[int(ast.literal_eval(argument)) for argument in node.args])
    return ast.literal_eval(node)
