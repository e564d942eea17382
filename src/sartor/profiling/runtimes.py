"""The runtimes that can be timed: each opens a block or a network, and hands out one prediction as a call."""

from __future__ import annotations

import difflib
import importlib.metadata
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np

from sartor.errors import RequestError
from sartor.optional import require
from sartor.profiling import runner
from sartor.profiling.graphs import call_graph, network_graph, piece_graph

if TYPE_CHECKING:
    from sartor.blueprint import Blueprint
    from sartor.costs.keys import Piece
    from sartor.profiling.networks import Shipped
    from sartor.profiling.runner import Call


class Runtime(ABC):
    """A runtime on some threads with some pictures at once; float32."""

    name: str
    dtype = "float32"

    def __init__(self, threads: int = 1, batch: int = 1) -> None:
        if threads < 1 or batch < 1:
            raise RequestError(f"threads and batch must be at least 1, got {threads} and {batch}")
        self.threads, self.batch = threads, batch

    @property
    @abstractmethod
    def version(self) -> str:
        """The version in use."""

    @property
    def clock(self) -> str:
        """Which of :data:`sartor.profiling.runner.CLOCKS` sees all the work of a call, and little else."""
        return "thread CPU time" if self.threads == 1 else "wall"

    @abstractmethod
    def open_empty(self) -> Call:
        """The cheapest call there is."""

    @abstractmethod
    def open_piece(self, piece: Piece) -> Call:
        """One call of a block."""

    @abstractmethod
    def open_network(self, blueprint: Blueprint) -> Call:
        """One call of a whole network, whose weights are made up."""

    @abstractmethod
    def open_shipped(self, network: Shipped) -> Call:
        """One call of a trained network as it is shipped."""


class _OnnxRuntime(Runtime):
    """Runtimes that read ONNX files."""

    def open_empty(self) -> Call:
        return self._open(call_graph())

    def open_piece(self, piece: Piece) -> Call:
        return self._open(piece_graph(piece, self.batch))

    def open_network(self, blueprint: Blueprint) -> Call:
        return self._open(network_graph(blueprint, self.batch))

    def open_shipped(self, network: Shipped) -> Call:
        return self._open(network.onnx.read_bytes())

    @abstractmethod
    def _open(self, model: bytes) -> Call: ...


class OnnxRuntime(_OnnxRuntime):
    """onnxruntime on the CPU, all its optimisations on."""

    name = "onnxruntime"

    def __init__(self, threads: int = 1, batch: int = 1) -> None:
        super().__init__(threads, batch)
        require("onnxruntime", extra="export")

    @property
    def version(self) -> str:
        return importlib.metadata.version("onnxruntime")

    def _open(self, model: bytes) -> Call:
        return runner.open_model(model, self.threads, self.batch)


class OpenVino(_OnnxRuntime):
    """OpenVINO on the CPU in float32.

    It computes on threads of its own even where there is only one, so the clock is the CPU time of the process.
    """

    name = "openvino"

    def __init__(self, threads: int = 1, batch: int = 1) -> None:
        super().__init__(threads, batch)
        self._openvino = require("openvino", extra="openvino")
        self._core = self._openvino.Core()

    @property
    def version(self) -> str:
        return importlib.metadata.version("openvino")

    @property
    def clock(self) -> str:
        return "process CPU time" if self.threads == 1 else "wall"

    def _open(self, model: bytes) -> Call:
        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "f32",
            "INFERENCE_NUM_THREADS": self.threads,
        }
        read = self._core.read_model(model)
        for node in read.inputs:  # an exported network leaves the number of pictures open
            if node.partial_shape.is_dynamic:
                sizes = [size.get_length() if size.is_static else self.batch for size in node.partial_shape]
                read.reshape({node: sizes})
        compiled = self._core.compile_model(read, "CPU", settings)
        request = compiled.create_infer_request()
        rng = np.random.default_rng(0)
        for node in compiled.inputs:
            values = rng.standard_normal(tuple(node.shape)).astype(np.float32)
            request.set_tensor(node, self._openvino.Tensor(values))
        call: Call = request.infer
        return call


class PyTorch(Runtime):
    """torch as it is, without compiling, in evaluation mode."""

    name = "pytorch"

    def __init__(self, threads: int = 1, batch: int = 1) -> None:
        super().__init__(threads, batch)
        self._torch = require("torch", extra="export")
        self._torch.set_num_threads(threads)

    @property
    def version(self) -> str:
        return str(self._torch.__version__)

    def open_empty(self) -> Call:
        return self._call(self._torch.nn.ReLU(), [self._torch.zeros(1, 1, 1, 1)])

    def open_piece(self, piece: Piece) -> Call:
        from sartor.network import build_body

        stack = piece.stack
        shape = (self.batch, stack.in_channels, stack.in_side, stack.in_side)
        if piece.join == "concat":
            shape = (self.batch, stack.in_channels // piece.inputs, *shape[2:])
        inputs = [self._torch.randn(shape) for _ in range(piece.inputs)]
        if piece.join == "concat":
            rest = stack.in_channels - shape[1] * (piece.inputs - 1)
            inputs[-1] = self._torch.randn(self.batch, rest, *shape[2:])
        return self._call(build_body(stack.body).eval(), inputs, piece.join)

    def open_network(self, blueprint: Blueprint) -> Call:
        return self._network(blueprint.build(), blueprint)

    def open_shipped(self, network: Shipped) -> Call:
        return self._network(network.load(), network.blueprint)

    def _network(self, module: Any, blueprint: Blueprint) -> Call:
        pictures = self._torch.randn(self.batch, blueprint.in_channels, blueprint.image_size, blueprint.image_size)
        return self._call(module.eval(), [pictures])

    def _call(self, module: Any, inputs: list[Any], join: str = "single") -> Call:
        from sartor.network import join_inputs

        torch = self._torch

        def call() -> object:
            with torch.inference_mode():
                return module(join_inputs(inputs, join))

        return call


# Adding a runtime is one class and one line here.
RUNTIMES: dict[str, type[Runtime]] = {r.name: r for r in (OnnxRuntime, PyTorch, OpenVino)}


def create(name: str, threads: int = 1, batch: int = 1) -> Runtime:
    """A runtime by name.

    Raises:
        RequestError: the name is unknown, the runtime is not installed, or a number is below 1.
    """
    if name not in RUNTIMES:
        close = difflib.get_close_matches(name, RUNTIMES, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise RequestError(f"unknown runtime {name!r}; known are {', '.join(RUNTIMES)}{hint}")
    return RUNTIMES[name](threads, batch)
