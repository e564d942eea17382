"""The paper's deliverable: one network with shared weights that switches between platforms at run time."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from sartor.blueprint import Blueprint
from sartor.elastic.bank import WeightBank
from sartor.elastic.execution import Dropout, Read, run_blocks, run_body
from sartor.elastic.supernet import copy_weights, find_layer
from sartor.errors import RequestError
from sartor.initialisers import Initialiser
from sartor.layers import Layer
from sartor.network import build
from sartor.storage import write_atomically

FORMAT_VERSION = 2
# Version 1 differs in one point: its blueprints say nothing of norm_eps, which was 1e-5.
_READABLE_VERSIONS = (1, FORMAT_VERSION)


class SlimmableNetwork(nn.Module):
    """Shared convolutions and one complete set of batch norms per switch (Yu et al., slimmable networks).

    ``network.switch("watch")`` chooses the child that runs. Switches with equal blueprints share their batch norms.
    """

    def __init__(
        self, blueprints: Mapping[str, Blueprint], *, seed: int = 0, initialiser: Initialiser = "he_fan_out"
    ) -> None:
        super().__init__()
        if not blueprints:
            raise ValueError("a slimmable network needs at least one switch")
        self.blueprints = dict(blueprints)
        stacks = ((block.name, block.stack) for b in blueprints.values() for block in b.blocks)
        self.bank = WeightBank(stacks, seed=seed, initialiser=initialiser, norms=False)
        self._owner = _owners(self.blueprints)
        # Numbered, because torch refuses some names that a platform may well have ("watch 2.0", "items").
        self.norms = nn.ModuleList()
        self._norms_of: dict[str, nn.ModuleDict] = {}
        for name, blueprint in self.blueprints.items():
            if self._owner[name] == name:
                self._norms_of[name] = _batch_norms(blueprint)
                self.norms.append(self._norms_of[name])
            self._norms_of[name] = self._norms_of[self._owner[name]]
        self.active = next(iter(blueprints))
        self.dropout: Dropout | None = None
        self.read: Read | None = None  # what training does to the tensors between blocks

    @property
    def switches(self) -> tuple[str, ...]:
        """The names of the children."""
        return tuple(self.blueprints)

    def norms_of(self, name: str) -> nn.ModuleDict:
        """The batch norms that a switch runs with."""
        return self._norms_of[self._known(name)]

    def switch(self, name: str) -> SlimmableNetwork:
        """Chooses the child that runs from now on."""
        self.active = self._known(name)
        return self

    def forward(self, x: Tensor, switch: str | None = None) -> Any:
        """The logits ``[B, classes]`` of the active child, or of ``switch`` for this call alone.

        A tuple with one per exit where that child has several.
        """
        name = self.active if switch is None else self._known(switch)
        norms = self._norms_of[name]

        def apply(block: str, layer: Layer, x: Tensor) -> Tensor:
            if layer.kind == "batch_norm":
                return norms[_slot(block, layer)](x)  # type: ignore[no-any-return]
            return self.bank.layer(block, layer.name)(x, layer)  # type: ignore[no-any-return]

        dropout = self.dropout if self.training else None
        outputs = run_blocks(
            self.blueprints[name].blocks,
            x,
            lambda b, y: run_body(b.name, b.stack.body, y, apply, dropout),
            self.read if self.training else None,
        )
        results = tuple(outputs)
        return results if len(results) > 1 else results[0]

    def extract(self, name: str, part: Blueprint | None = None) -> nn.Module:
        """The plain network of one switch with its own copy of weights and statistics.

        ``part``: some of its blocks alone, such as those up to an exit (:meth:`sartor.blueprint.Blueprint.cut`).
        """
        blueprint = self.blueprints[self._known(name)] if part is None else part
        network = build(blueprint)
        copy_weights(blueprint.blocks, self.bank, network)
        norms = self.norms_of(name)
        for block in blueprint.blocks:
            for layer in block.layers:
                if layer.kind == "batch_norm":
                    state = {k: v.clone() for k, v in norms[_slot(block.name, layer)].state_dict().items()}
                    find_layer(network, block.name, layer.name).load_state_dict(state, assign=True)
        reference = next(self.parameters())
        network.to(reference.device, reference.dtype)
        return network.train(self.training)

    def _known(self, name: str) -> str:
        if name not in self.blueprints:
            raise RequestError(f"unknown switch {name!r}; this network has {', '.join(self.blueprints)}")
        return name

    def save(self, path: Path) -> None:
        """Writes shared weights, batch norms and blueprints to one safetensors file, atomically."""
        from safetensors.torch import save

        described = {name: b.to_dict() for name, b in self.blueprints.items()}
        metadata = {
            "format_version": str(FORMAT_VERSION),
            "kind": "sartor-slimmable",
            "blueprints": json.dumps(described),
        }
        write_atomically(path, save({k: v.contiguous() for k, v in self.state_dict().items()}, metadata))

    @classmethod
    def load(cls, path: Path) -> SlimmableNetwork:
        """Reads a file written by :meth:`save`; nothing is unpickled.

        Raises:
            RequestError: the file is missing, damaged, or of another kind.
        """
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
                _check_format(path, metadata)
                tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            blueprints = {n: Blueprint.from_dict(b) for n, b in json.loads(metadata["blueprints"]).items()}
            network = cls(blueprints)
            network.load_state_dict(tensors, assign=True)  # keeps the precision that was saved
        except (OSError, SafetensorError, LookupError, TypeError, AttributeError, ValueError, RuntimeError) as error:
            raise RequestError(f"{path} cannot be read as a slimmable network: {error}") from error
        return network.eval()


def _check_format(path: Path, metadata: Mapping[str, str]) -> None:
    if metadata.get("kind") != "sartor-slimmable":
        raise RequestError(f"{path} is not a slimmable network of Sartor")
    version = metadata.get("format_version")
    if version not in [str(known) for known in _READABLE_VERSIONS]:
        raise RequestError(f"{path} has format version {version}; this Sartor reads up to version {FORMAT_VERSION}")


def _batch_norms(blueprint: Blueprint) -> nn.ModuleDict:
    norms = nn.ModuleDict()
    for block in blueprint.blocks:
        for layer in block.layers:
            if layer.kind == "batch_norm":
                norms[_slot(block.name, layer)] = nn.BatchNorm2d(layer.out_channels, blueprint.norm_eps)
    return norms


def _owners(blueprints: Mapping[str, Blueprint]) -> dict[str, str]:
    """Switch -> the first switch with the same blocks, whose batch norms it shares; their ``norm_eps`` agrees."""
    owner: dict[str, str] = {}
    for name, blueprint in blueprints.items():
        made_of = (blueprint.blocks, blueprint.norm_eps)
        twin = next((n for n in owner if (blueprints[n].blocks, blueprints[n].norm_eps) == made_of), name)
        owner[name] = twin
    return owner


def _slot(block: str, layer: Layer) -> str:
    return f"{block}__{layer.name}"
