"""Liveness on graphs small enough to count by hand. Sizes in elements; a float has 4 bytes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from export_networks import SmallNetwork, settled
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from sartor.errors import RequestError
from sartor.export import ModelCard, activation_timeline, export_onnx, peak_activation_bytes


def graph(nodes: list[Any], shape: list[Any], outputs: list[str], weights: dict[str, Any] | None = None) -> Any:
    """A model over input ``x`` of ``shape`` with float outputs of unknown shape."""
    return helper.make_model(
        helper.make_graph(
            nodes,
            "g",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
            [numpy_helper.from_array(np.asarray(v), n) for n, v in (weights or {}).items()],
        ),
        opset_imports=[helper.make_opsetid("", 18)],
    )


def weight(out_channels: int, in_channels: int) -> Any:
    return np.zeros((out_channels, in_channels, 1, 1), dtype=np.float32)


node = helper.make_node


def test_a_chain_peaks_at_its_largest_pair() -> None:
    """x 2*16, a 8*16, b 4*16: the largest pair of neighbours is a and b, 192 elements; weights do not count."""
    chain = graph(
        [node("Conv", ["x", "w"], ["a"]), node("Conv", ["a", "v"], ["b"]), node("GlobalAveragePool", ["b"], ["y"])],
        ["n", 2, 4, 4],
        ["y"],
        {"w": weight(8, 2), "v": weight(4, 8)},
    )
    assert activation_timeline(chain) == [
        ("Conv -> a", 4 * (32 + 128)),
        ("Conv -> b", 4 * (128 + 64)),
        ("GlobalAveragePool -> y", 4 * (64 + 4)),
    ]
    assert peak_activation_bytes(chain) == 768


def test_a_shortcut_is_alive_until_it_is_added() -> None:
    """x waits for the addition while a (8*16) and b (2*16) are made; the sum then overwrites one of its inputs."""
    residual = graph(
        [
            node("Conv", ["x", "w"], ["a"]),
            node("Relu", ["a"], ["r"]),
            node("Conv", ["r", "v"], ["b"]),
            node("Add", ["x", "b"], ["y"]),
        ],
        ["n", 2, 4, 4],
        ["y"],
        {"w": weight(8, 2), "v": weight(2, 8)},
    )
    live = [size // 4 for _, size in activation_timeline(residual)]
    assert live == [32 + 128, 32 + 128, 32 + 128 + 32, 32 + 32]


def test_squeeze_excite_keeps_its_input() -> None:
    """The pooled path adds its few values while x waits; the product overwrites x."""
    gate = graph(
        [
            node("GlobalAveragePool", ["x"], ["p"]),
            node("Conv", ["p", "w"], ["s"]),
            node("Relu", ["s"], ["r"]),
            node("Conv", ["r", "v"], ["e"]),
            node("HardSigmoid", ["e"], ["h"]),
            node("Mul", ["x", "h"], ["y"]),
        ],
        ["n", 8, 4, 4],
        ["y"],
        {"w": weight(3, 8), "v": weight(8, 3)},
    )
    live = [size // 4 for _, size in activation_timeline(gate)]
    assert live == [128 + 8, 128 + 8 + 3, 128 + 3, 128 + 3 + 8, 128 + 8, 128 + 8]


def test_elementwise_nodes_need_room_when_their_input_lives_on() -> None:
    """A Relu whose input is still wanted gets memory of its own; one whose input dies does not."""
    living = graph([node("Relu", ["x"], ["a"]), node("Add", ["x", "a"], ["y"])], [1, 2, 4, 4], ["y"])
    assert [size // 4 for _, size in activation_timeline(living)] == [64, 64]
    dying = graph([node("Relu", ["x"], ["a"]), node("Clip", ["a"], ["y"])], [1, 2, 4, 4], ["y"])
    assert [size // 4 for _, size in activation_timeline(dying)] == [32, 32]


def test_a_broadcast_input_is_not_overwritten() -> None:
    """A dying input smaller than the result cannot hold it."""
    model = graph(
        [node("GlobalAveragePool", ["x"], ["p"]), node("Mul", ["x", "p"], ["m"]), node("Add", ["m", "x"], ["y"])],
        [1, 8, 4, 4],
        ["y"],
    )
    assert [size // 4 for _, size in activation_timeline(model)] == [128 + 8, 128 + 8 + 128, 256]


def test_views_share_their_input() -> None:
    """Flatten and Reshape cost nothing and keep the tensor alive for whoever reads the view."""
    model = graph(
        [
            node("Conv", ["x", "w"], ["a"]),
            node("Flatten", ["a"], ["f"]),
            node("Identity", ["f"], ["i"]),
            node("MatMul", ["i", "m"], ["y"]),
        ],
        [1, 2, 2, 2],
        ["y"],
        {"w": weight(4, 2), "m": np.zeros((16, 5), dtype=np.float32)},
    )
    assert [size // 4 for _, size in activation_timeline(model)] == [8 + 16, 16, 16, 16 + 5]


def test_swish_in_two_nodes_is_one_elementwise_layer() -> None:
    """x * sigmoid(x) runs in place although x is read twice; a sigmoid read by others is no such pair."""
    swish = [node("Conv", ["x", "w"], ["a"]), node("Sigmoid", ["a"], ["s"]), node("Mul", ["s", "a"], ["y"])]
    weights = {"w": weight(4, 2)}
    assert peak_activation_bytes(graph(swish, [1, 2, 4, 4], ["y"], weights)) == 4 * (32 + 64)
    shared = [*swish[:2], node("Mul", ["a", "s"], ["m"]), node("Add", ["m", "s"], ["y"])]
    live = [size // 4 for _, size in activation_timeline(graph(shared, [1, 2, 4, 4], ["y"], weights))]
    assert live == [32 + 64, 64 + 64, 64 + 64, 64 + 64]


def test_outputs_live_to_the_end() -> None:
    """An early exit waits while the rest of the network runs."""
    model = graph(
        [node("Conv", ["x", "w"], ["early"]), node("Conv", ["x", "w"], ["a"]), node("Conv", ["a", "v"], ["late"])],
        [1, 2, 4, 4],
        ["early", "late"],
        {"w": weight(4, 2), "v": weight(1, 4)},
    )
    assert [size // 4 for _, size in activation_timeline(model)] == [32 + 64, 32 + 64 + 64, 64 + 64 + 16]


def test_computed_shapes_do_not_count() -> None:
    """Shape arithmetic, float or not, is no activation; a reshape that inference cannot follow is measured."""
    model = graph(
        [
            node("Shape", ["x"], ["s"]),
            node("Cast", ["s"], ["f"], to=TensorProto.FLOAT),
            node("Floor", ["f"], ["g"]),
            node("Cast", ["g"], ["i"], to=TensorProto.INT64),
            node("Gather", ["i", "zero"], ["n"]),
            node("Concat", ["n", "rest"], ["target"], axis=0),
            node("Reshape", ["x", "target"], ["v"]),
            node("Transpose", ["v"], ["t"], perm=[0, 2, 1]),
            node("MatMul", ["t", "m"], ["y"]),
        ],
        ["n", 2, 4, 4],
        ["y"],
        {
            "zero": np.array([0]),
            "rest": np.array([2, -1]),
            "m": np.zeros((2, 3), dtype=np.float32),
        },
    )
    assert activation_timeline(model) == [
        ("Reshape -> v", 4 * 32),
        ("Transpose -> t", 4 * 64),
        ("MatMul -> y", 4 * (32 + 48)),
    ]


def test_shapes_may_be_given() -> None:
    """A larger batch costs in proportion; an input that the graph does not have is named."""
    model = graph([node("Conv", ["x", "w"], ["y"])], ["n", 2, 4, 4], ["y"], {"w": weight(4, 2)})
    assert peak_activation_bytes(model, {"x": [5, 2, 4, 4]}) == 5 * peak_activation_bytes(model)
    with pytest.raises(RequestError, match="no input 'z'"):
        peak_activation_bytes(model, {"z": [1]})


def test_unknown_operators_and_files_are_said(tmp_path: Path) -> None:
    """What cannot be sized is named, never counted as zero; a file that is none is named."""
    model = graph([node("Mystery", ["x"], ["a"], domain="other"), node("Relu", ["a"], ["y"])], [1, 2], ["y"])
    model.opset_import.append(helper.make_opsetid("other", 1))
    with pytest.raises(RequestError, match="'a'"):
        peak_activation_bytes(model)
    (tmp_path / "text.onnx").write_text("hello")
    with pytest.raises(RequestError, match=r"text\.onnx"):
        peak_activation_bytes(tmp_path / "text.onnx")


def test_the_model_is_not_changed(exported: Path) -> None:
    """Fixing the batch happens on a copy."""
    model = onnx.load(exported)
    before = model.SerializeToString()
    peak_activation_bytes(model)
    assert model.SerializeToString() == before


# By hand for SmallNetwork on 1x8x8 pictures: inside the shortcut the stem's output (8*64) waits, the gated path
# holds its own (8*64), and the squeeze-excite layers add 4 + 8 values.
SMALL_NETWORK_PEAK = 4 * (8 * 64 + 8 * 64 + 4 + 8)
# The head's first convolution: 8*64 in, 16*64 out.
HEAD_PEAK = 4 * (8 * 64 + 16 * 64)


@pytest.mark.parametrize("exporter", ["torchscript", "dynamo"])
def test_exported_networks(card: ModelCard, tmp_path: Path, exporter: Any) -> None:
    """Both exporters' graphs (folded BN, GlobalAveragePool or ReduceMean, Flatten or Reshape) give one figure."""
    path = export_onnx(settled(SmallNetwork()), card, tmp_path / "net.onnx", exporter=exporter)
    timeline = activation_timeline(path)
    assert max(size for _, size in timeline) == HEAD_PEAK
    before_head = [size for name, size in timeline[: _index(timeline, lambda size: size == HEAD_PEAK)]]
    assert max(before_head) == SMALL_NETWORK_PEAK


def test_unfused_batch_norm_runs_in_place(card: ModelCard, tmp_path: Path) -> None:
    """A batch norm that no convolution can absorb overwrites its input."""
    network = nn.Sequential(
        nn.Conv2d(1, 4, 1), nn.ReLU(), nn.BatchNorm2d(4), nn.Conv2d(4, 1, 1), nn.Flatten(), nn.Linear(64, 10)
    )
    path = export_onnx(settled(network), card, tmp_path / "net.onnx")
    assert any(n.op_type == "BatchNormalization" for n in onnx.load(path).graph.node)
    assert peak_activation_bytes(path) == 4 * (64 + 4 * 64)


def _index(timeline: list[tuple[str, int]], wanted: Callable[[int], bool]) -> int:
    return next(i for i, (_, size) in enumerate(timeline) if wanted(size))
