"""A trained network in one file: weights, and in the metadata all that is needed to build and feed it again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from sartor.blueprint import Blueprint
from sartor.data import Normalisation
from sartor.errors import RequestError

FORMAT_VERSION = 1
_KIND = "sartor-network"


@dataclass(frozen=True)
class NetworkCard:
    """What a weights file says about its network: its layers, its pictures, and the names of its classes."""

    blueprint: Blueprint
    normalisation: Normalisation
    class_names: tuple[str, ...]

    def to_metadata(self) -> dict[str, str]:
        """Text by key, for the metadata of a safetensors file."""
        return {
            "kind": _KIND,
            "format_version": str(FORMAT_VERSION),
            "blueprint": json.dumps(self.blueprint.to_dict()),
            "normalisation": json.dumps(self.normalisation.to_json()),
            "class_names": json.dumps(self.class_names),
        }

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str]) -> NetworkCard:
        """The inverse of :meth:`to_metadata`.

        Raises:
            RequestError: the metadata is not of this kind, or of a later version.
        """
        kind, version = metadata.get("kind"), metadata.get("format_version")
        if kind == "sartor-slimmable":
            raise RequestError("it holds the shared weights of several networks; give the file of one platform")
        if kind != _KIND:
            raise RequestError("it does not say which network its weights belong to")
        if version != str(FORMAT_VERSION):
            raise RequestError(f"it has format version {version}, this Sartor reads version {FORMAT_VERSION}")
        names = tuple(str(name) for name in json.loads(metadata["class_names"]))
        normalisation = Normalisation.from_json(json.loads(metadata["normalisation"]))
        return cls(Blueprint.from_dict(json.loads(metadata["blueprint"])), normalisation, names)


def read_network(path: Path) -> tuple[nn.Module, NetworkCard]:
    """The network of a file, in evaluation mode on the CPU; nothing is unpickled.

    Raises:
        RequestError: the file is missing, damaged, or says not enough about its network.
    """
    tensors, metadata = read_tensors(path)
    try:
        card = NetworkCard.from_metadata(metadata)
        network = card.blueprint.build()
    except RequestError as error:
        raise RequestError(f"{path}: {error}") from error
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        raise RequestError(f"{path}: its metadata cannot be read ({type(error).__name__}: {error})") from error
    return fill(network, tensors, path), card


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors by name, and the metadata, of a safetensors file.

    Raises:
        RequestError: the file is missing or damaged.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise RequestError(f"{path}: there is no such file")
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            return tensors, dict(file.metadata() or {})
    except (OSError, SafetensorError) as error:
        raise RequestError(f"{path}: this is no safetensors file, or a damaged one ({error})") from error


def fill(network: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> nn.Module:
    """The network with the weights of a file, in evaluation mode.

    Raises:
        RequestError: names or shapes of the weights are not those of the network.
    """
    expected = network.state_dict()
    missing, unknown = sorted(expected.keys() - tensors.keys()), sorted(tensors.keys() - expected.keys())
    if missing or unknown:
        named = [
            f"{len(names)} {what} ({names[0]})" for names, what in ((missing, "missing"), (unknown, "unknown")) if names
        ]
        raise RequestError(f"{path}: its weights belong to another network: {' and '.join(named)}")
    for name, tensor in tensors.items():
        if tensor.shape != expected[name].shape:
            raise RequestError(
                f"{path}: its weights belong to another network: {name} has the shape {list(tensor.shape)}, "
                f"the network needs {list(expected[name].shape)}"
            )
    network.load_state_dict(dict(tensors))
    return network.eval()
