"""The folder of stages: what is in it, that it is proved to agree, and what is found wrong with it."""

from __future__ import annotations

import copy
import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from anytime_networks import chain, grid, settled
from numpy.typing import NDArray
from torch import nn

from sartor.anytime import AnytimePredictor, make_stages
from sartor.anytime.evaluation import exit_logits
from sartor.anytime.onnx_runner import OnnxRunner
from sartor.blueprint import Block, Blueprint
from sartor.errors import RequestError, VerificationError
from sartor.export import ModelCard, export_stages, verify_stages
from sartor.export.onnx_file import Exporter
from sartor.stack import Stack


def reference(network: nn.Module, digits: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Logits of every exit by PyTorch with a normalisation written out anew."""
    x = (torch.from_numpy(digits).permute(0, 3, 1, 2).double() / 255 - 0.3) / 0.35
    return exit_logits(network, [x.float()])


def test_the_folder_holds_one_file_per_stage(folder: Path, blueprint: Blueprint, card: ModelCard) -> None:
    """Stages, their description and their runner; each file takes and gives the tensors that the stage names."""
    assert sorted(p.name for p in folder.iterdir()) == sorted(
        ["anytime.json", "onnx_runner.py", "running.py", "stage0.onnx", "stage1.onnx", "stage2.onnx"]
    )
    description = json.loads((folder / "anytime.json").read_text("utf-8"))
    for stage, described in zip(make_stages(blueprint), description["stages"], strict=True):
        model = onnx.load(folder / described["file"])
        assert sorted(i.name for i in model.graph.input) == sorted(stage.reads) == sorted(described["reads"])
        assert [o.name for o in model.graph.output] == ["logits", *stage.gives] == ["logits", *described["gives"]]
        metadata = {p.key: p.value for p in model.metadata_props}
        assert ModelCard.from_metadata(metadata, folder).costs == {"macs": stage.macs, "params": stage.params}
        assert not {n.op_type for n in model.graph.node} & {"BatchNormalization", "Identity"}
    assert description["tensors"]["cell1_2"] == [4, 2, 2]
    assert ModelCard.from_dict(description["card"]) == card
    assert [cost["macs"] for cost in description["exits"]] == [blueprint.cut(k).macs for k in range(3)]


def test_stages_hold_every_weight_once(folder: Path, blueprint: Blueprint) -> None:
    """The files together hold no more parameters than the network, and those of no block that no exit reads."""
    sizes = [p.stat().st_size for p in folder.glob("*.onnx")]
    used = sum(stage.params for stage in make_stages(blueprint))
    assert used < blueprint.params
    assert sum(sizes) < 4 * used + len(sizes) * 12_000, "weights, nodes and the card of each file"


def test_stages_are_verified(folder: Path, network: nn.Module, digits: NDArray[np.uint8]) -> None:
    """Every exit agrees on real digits in a fresh process, and later exits take longer."""
    found = verify_stages(folder, digits, reference(network, digits), repeats=20)
    assert found.top1_agreement == (1.0, 1.0, 1.0) and max(found.max_abs_diff) < 1e-4
    assert found.pictures == 100 and found.file_bytes == sum(p.stat().st_size for p in folder.glob("*.onnx"))
    assert found.latency_ms[0] < found.latency_ms[2]
    assert json.loads(json.dumps(found.to_dict())) == found.to_dict()


def test_disagreement_names_the_exit(folder: Path, network: nn.Module, digits: NDArray[np.uint8]) -> None:
    """Another head at one exit, or another number of exits, is found."""
    logits = reference(network, digits[:20])
    logits[1] += np.linspace(-1, 1, 10, dtype=np.float32)
    with pytest.raises(VerificationError, match="exit 1 disagrees"):
        verify_stages(folder, digits[:20], logits, repeats=10)
    with pytest.raises(VerificationError, match="3 exits where the network has 2"):
        verify_stages(folder, digits[:20], logits[:2], repeats=10)


def test_unusable_folders_are_found(
    folder: Path, network: nn.Module, digits: NDArray[np.uint8], tmp_path: Path
) -> None:
    """A folder without description and a damaged stage are refused; so are logits of another shape."""
    logits = reference(network, digits[:2])
    with pytest.raises(RequestError, match=r"holds no anytime\.json"):
        verify_stages(tmp_path, digits[:2], logits)
    with pytest.raises(RequestError, match=r"shape \[2, 10\] for 2 pictures"):
        verify_stages(folder, digits[:2], logits[0])
    broken = tmp_path / "broken"
    shutil.copytree(folder, broken)
    (broken / "stage2.onnx").write_bytes(b"nothing")
    with pytest.raises(VerificationError, match=r"stage2\.onnx"):
        verify_stages(broken, digits[:2], logits)
    # A stage whose weights were stored twice.
    model = onnx.load(folder / "stage0.onnx")
    for tensor in list(model.graph.initializer):
        twin = model.graph.initializer.add()
        twin.CopyFrom(tensor)
        twin.name += "_twin"
    onnx.save(model, broken / "stage0.onnx")
    shutil.copy(folder / "stage2.onnx", broken)
    with pytest.raises(VerificationError, match=r"stage0\.onnx: it holds"):
        verify_stages(broken, digits[:2], logits)


def test_exporting_leaves_the_network_alone(blueprint: Blueprint, card: ModelCard, tmp_path: Path) -> None:
    """Mode, weights and statistics are as before, whatever mode the network was in."""
    network = settled(blueprint).train()
    before = copy.deepcopy(network.state_dict())
    export_stages(network, blueprint, card, tmp_path / "anytime")
    assert network.training and all(torch.equal(v, before[k]) for k, v in network.state_dict().items())


def test_a_new_export_replaces_the_old_one(card: ModelCard, tmp_path: Path) -> None:
    """Stages of an older network with more exits do not stay behind."""
    for layers in (4, 3):
        blueprint = grid(scales=2, layers=layers)
        export_stages(settled(blueprint), blueprint, card, tmp_path)
    assert sorted(p.name for p in tmp_path.glob("stage*")) == ["stage0.onnx", "stage1.onnx"]
    assert len(OnnxRunner(tmp_path).stages) == 2


@pytest.mark.slow
@pytest.mark.parametrize("exporter", ["torchscript", "dynamo"])
def test_both_exporters_write_stages(
    exporter: Exporter,
    blueprint: Blueprint,
    network: nn.Module,
    card: ModelCard,
    digits: NDArray[np.uint8],
    tmp_path: Path,
) -> None:
    """Either exporter of torch makes stages with several inputs and a dynamic batch."""
    export_stages(network, blueprint, card, tmp_path, exporter=exporter)
    runner, predictor = OnnxRunner(tmp_path), AnytimePredictor(network, blueprint)
    x = runner.prepare(digits[:5])
    for ours, theirs in zip(runner.logits(x), predictor.logits(torch.from_numpy(x)), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_a_plain_network_is_one_stage(card: ModelCard, digits: NDArray[np.uint8], tmp_path: Path) -> None:
    """A network without exits is a chain of one."""
    network = settled(chain())
    folder = export_stages(network, chain(), card, tmp_path)
    assert verify_stages(folder, digits, reference(network, digits), repeats=10).top1_agreement == (1.0,)


def test_a_card_that_does_not_fit_is_refused(blueprint: Blueprint, network: nn.Module, tmp_path: Path) -> None:
    """Another picture size and another number of classes are named before anything is described."""
    options = {"name": "n", "mean": (0.0,), "std": (1.0,), "colour_order": "grey"}
    wrong_size = ModelCard(image_size=9, class_names=tuple("0123456789"), **options)  # type: ignore[arg-type]
    with pytest.raises(RequestError, match=r"shape \[1, 8, 8\], its model card declares \[1, 9, 9\]"):
        export_stages(network, blueprint, wrong_size, tmp_path)
    wrong_classes = ModelCard(image_size=8, class_names=("a", "b"), **options)  # type: ignore[arg-type]
    with pytest.raises(RequestError, match="has 2 classes"):
        export_stages(network, blueprint, wrong_classes, tmp_path)
    assert not (tmp_path / "anytime.json").exists()


def rectified(first_readers: tuple[str, str]) -> Blueprint:
    """A stem that two later stages read, each after the activation of the given kind, or none."""
    stem = Stack(1, 8).conv("conv", 4, kernel=3).batch_norm()
    head = Stack(4, 8).global_pool().linear("linear", 10)
    blocks = [Block("stem", ("pictures",), stem), Block("exit0", ("stem",), head, is_exit=True)]
    for k, function in enumerate(first_readers, start=1):
        stack = Stack(4, 8).activation(function) if function else Stack(4, 8)
        stack = stack.conv("conv", 4, kernel=3).global_pool().linear("linear", 10)
        blocks.append(Block(f"exit{k}", ("stem",), stack, stage=k, is_exit=True))
    return Blueprint(tuple(blocks), 1, 8, "rectified")


@pytest.mark.parametrize(
    ("readers", "moved"), [(("relu", "relu"), True), (("relu", ""), False), (("relu", "swish"), False)]
)
def test_a_relu_of_all_readers_moves_to_the_maker(
    readers: tuple[str, str], moved: bool, card: ModelCard, digits: NDArray[np.uint8], tmp_path: Path
) -> None:
    """Only where every later stage rectifies a tensor first, it is handed on rectified; answers stay as they were."""
    blueprint = rectified(readers)
    network = settled(blueprint)
    export_stages(network, blueprint, card, tmp_path)
    relus = [sum(n.op_type == "Relu" for n in onnx.load(tmp_path / f"stage{k}.onnx").graph.node) for k in range(3)]
    assert relus == ([1, 0, 0] if moved else [0, 1, readers.count("relu") - 1])
    x = OnnxRunner(tmp_path).prepare(digits[:5])
    for ours, theirs in zip(OnnxRunner(tmp_path).logits(x), reference(network, digits[:5]), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


def joined() -> Blueprint:
    """Two convolutions joined; the head of the same stage and the next stage begin with the ReLU of what they make."""
    conv = Stack(1, 8).conv("conv", 4, kernel=3).batch_norm()
    head = Stack(8, 8).activation("relu").conv("conv", 4, kernel=3).global_pool().linear("linear", 10)
    blocks = (
        Block("left", ("pictures",), conv),
        Block("right", ("pictures",), conv),
        Block("cell", ("left", "right"), Stack(8, 8), "concat"),
        Block("exit0", ("cell",), head, is_exit=True),
        Block("exit1", ("cell",), head, stage=1, is_exit=True),
    )
    return Blueprint(blocks, 1, 8, "joined")


def test_what_is_handed_on_is_rectified_once_and_before_it_is_joined(
    card: ModelCard, digits: NDArray[np.uint8], tmp_path: Path
) -> None:
    """The maker's own reader shares the ReLU, which stands at each part, where a convolution takes it in."""
    network = settled(joined())
    export_stages(network, joined(), card, tmp_path)
    graphs = [onnx.load(tmp_path / f"stage{k}.onnx").graph for k in range(2)]
    makers = {output: node.op_type for node in graphs[0].node for output in node.output}
    relus = [node for node in graphs[0].node if node.op_type == "Relu"]
    assert [makers[relu.input[0]] for relu in relus] == ["Conv", "Conv"] and makers["cell"] == "Concat"
    assert not any(node.op_type == "Relu" for node in graphs[1].node)
    onnx.checker.check_model(onnx.load(tmp_path / "stage0.onnx"))
    x = OnnxRunner(tmp_path).prepare(digits[:5])
    for ours, theirs in zip(OnnxRunner(tmp_path).logits(x), reference(network, digits[:5]), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)
