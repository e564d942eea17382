"""Where teachers come from: a network's own file, ONNX files, known networks; and what is refused before a search."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from sartor.blueprint import Block, Blueprint
from sartor.config import Job, load_job
from sartor.data import ImageSet, Normalisation
from sartor.errors import RequestError
from sartor.export import ModelCard, export_onnx
from sartor.pipeline import run_job
from sartor.pipeline.network_file import NetworkCard, read_network
from sartor.pipeline.teacher import load_teacher
from sartor.pipeline.training import save_weights
from sartor.run import RunFolder
from sartor.runtime import Runtime
from sartor.spaces.references import reference
from sartor.stack import Stack
from sartor.train.settings import FinalTraining
from sartor.train.teacher import Outputs

NAMES = ("ant", "bee", "cow", "dog")
PICTURES = ImageSet(np.zeros((4, 8, 8, 3), np.uint8), np.arange(4), NAMES, "insects", "made up")
OURS = Normalisation((0.5, 0.4, 0.3), (0.2, 0.25, 0.3))
THEIRS = Normalisation((0.45, 0.45, 0.45), (0.3, 0.2, 0.1))
CPU = Runtime(torch.device("cpu"))
X = torch.randn(5, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def blueprint(classes: int = 4, size: int = 8, channels: int = 3) -> Blueprint:
    """A convolution, a batch norm and a classifier."""
    body = Stack(channels, size).conv("conv", 6, kernel=3, stride=2).batch_norm().activation()
    head = Stack(6, size // 2).global_pool().linear("linear", classes)
    return Blueprint((Block("body", ("pictures",), body), Block("head", ("body",), head)), channels, size)


def network(made: Blueprint | None = None) -> nn.Module:
    """A network whose batch norm has seen pictures."""
    built = (made or blueprint()).build(seed=3)
    with torch.no_grad():
        for module in built.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.uniform_(-1, 1, generator=torch.Generator().manual_seed(1))  # type: ignore[union-attr]
    return built.eval()


def own_file(path: Path, made: Blueprint | None = None, names: tuple[str, ...] = NAMES) -> Path:
    card = NetworkCard(made or blueprint(), THEIRS, names)
    save_weights(network(made), path, {"space": "made up", **card.to_metadata()})
    return path


def onnx_file(path: Path, made: Blueprint | None = None, *, card: bool = True) -> Path:
    made = made or blueprint()
    names = tuple(f"class {i}" for i in range(made.num_classes)) if made.num_classes != 4 else NAMES
    said = ModelCard(
        name="teacher",
        mean=THEIRS.mean,
        std=THEIRS.std,
        image_size=made.image_size,
        colour_order="RGB",
        class_names=names,
    )
    export_onnx(network(made), said, path)
    if not card:
        onnx = pytest.importorskip("onnx")
        model = onnx.load(path)
        del model.metadata_props[:]
        onnx.save(model, path)
    return path


def loaded(**settings: Any) -> Outputs:
    plain = {key: str(value) if key == "teacher" else value for key, value in settings.items()}
    teacher = load_teacher(FinalTraining(**plain), PICTURES, OURS, CPU)
    assert teacher is not None
    return teacher


def renormalised(x: Tensor) -> Tensor:
    """The same pictures as the teacher knows them."""
    mean, std, their_mean, their_std = (
        torch.tensor(v).view(3, 1, 1) for v in (OURS.mean, OURS.std, THEIRS.mean, THEIRS.std)
    )
    return (x * std + mean - their_mean) / their_std


def refusal(**settings: Any) -> str:
    with pytest.raises(RequestError) as caught:
        loaded(**settings)
    return str(caught.value)


# ---------------------------------------------------------------- a network in one file


def test_one_file_is_enough(tmp_path: Path) -> None:
    """From a network's file alone come the same layers, weights, statistics, normalisation and classes."""
    found, card = read_network(own_file(tmp_path / "big.safetensors"))
    assert (card.blueprint, card.normalisation, card.class_names) == (blueprint(), THEIRS, NAMES)
    with torch.no_grad():
        assert torch.equal(found(X), network()(X)) and not found.training


def damaged(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:300])


def without_blueprint(path: Path) -> None:
    save_weights(network(), path, {"space": "made up", "platform": "watch"})


def of_another_version(path: Path) -> None:
    card = NetworkCard(blueprint(), THEIRS, NAMES).to_metadata()
    save_weights(network(), path, {**card, "format_version": "9"})


def with_nonsense(path: Path) -> None:
    card = NetworkCard(blueprint(), THEIRS, NAMES).to_metadata()
    save_weights(network(), path, {**card, "blueprint": '{"blocks": [{}]}'})


def with_other_weights(path: Path) -> None:
    save_weights(network(blueprint(classes=5)), path, NetworkCard(blueprint(), THEIRS, NAMES).to_metadata())


def with_a_weight_less(path: Path) -> None:
    state = {key: value for key, value in network().state_dict().items() if "bias" not in key}
    save_file(state, path, NetworkCard(blueprint(), THEIRS, NAMES).to_metadata())


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (Path.unlink, "there is no such file"),
        (damaged, "no safetensors file, or a damaged one"),
        (without_blueprint, "does not say which network its weights belong to"),
        (of_another_version, "format version 9, this Sartor reads version 1"),
        (with_nonsense, "its metadata cannot be read"),
        (with_other_weights, "has the shape [5], the network needs [4]"),
        (with_a_weight_less, "belong to another network: 2 missing"),
    ],
)
def test_files_that_cannot_be_read(tmp_path: Path, spoil: Callable[[Path], None], words: str) -> None:
    """Each is one sentence with the file's name."""
    path = own_file(tmp_path / "big.safetensors")
    spoil(path)
    message = refusal(teacher=path)
    assert (
        message.startswith(f"train.teacher: {path}: ")
        and message.count(str(path)) == 1
        and words in message
        and "Traceback" not in message
    )


# ---------------------------------------------------------------- what a teacher answers


def test_a_file_answers_in_its_own_normalisation(tmp_path: Path) -> None:
    """Pictures that the pupil normalised reach the teacher as it learnt to see them; no weight asks for a gradient."""
    answer = loaded(teacher=own_file(tmp_path / "big.safetensors"))(X)
    with torch.no_grad():
        torch.testing.assert_close(answer, network()(renormalised(X)), rtol=1e-4, atol=1e-5)
    assert not answer.requires_grad


def test_an_onnx_file_answers_alike(tmp_path: Path) -> None:
    """An exported file says its normalisation itself; a foreign one has it from the job."""
    with torch.no_grad():
        expected = network()(renormalised(X))
    exported = loaded(teacher=onnx_file(tmp_path / "a.onnx"))(X.to(memory_format=torch.channels_last))
    torch.testing.assert_close(exported, expected, rtol=1e-4, atol=1e-5)
    said: dict[str, Any] = {"teacher_mean": THEIRS.mean, "teacher_std": THEIRS.std}
    foreign = loaded(teacher=onnx_file(tmp_path / "b.onnx", card=False), **said)(X)
    torch.testing.assert_close(foreign, expected, rtol=1e-4, atol=1e-5)


def test_a_known_network_with_its_weights(tmp_path: Path) -> None:
    """A name gives the layers, for the classes and the size of the pictures, and a file the weights."""
    made = reference("mobilenet_v1_0.25x", num_classes=4, image_size=8)
    path = tmp_path / "weights.safetensors"
    save_file({key: value.contiguous() for key, value in network(made).state_dict().items()}, path)
    said: dict[str, Any] = {"teacher_mean": THEIRS.mean, "teacher_std": THEIRS.std}
    answer = loaded(teacher="mobilenet_v1_0.25x", teacher_file=path, **said)(X)
    with torch.no_grad():
        torch.testing.assert_close(answer, network(made)(renormalised(X)), rtol=1e-3, atol=1e-4)
    message = refusal(teacher="mobilenet_v1_0.5x", teacher_file=path, **said)
    assert "its weights belong to another network" in message and str(path) in message


def test_no_teacher() -> None:
    """Without a name there is none."""
    assert load_teacher(FinalTraining(), PICTURES, OURS, CPU) is None


# ---------------------------------------------------------------- teachers that do not fit


def test_teachers_of_other_pictures_are_refused(tmp_path: Path) -> None:
    """Other classes, their order, another size or colour: said with both values."""
    path = tmp_path / "big.safetensors"
    five = own_file(path, blueprint(classes=5), ("a", "b", "c", "d", "e"))
    assert "its num_classes is 5, but the pictures of 'insects' have 4" in refusal(teacher=five)
    assert "its image_size is 16" in refusal(teacher=own_file(path, blueprint(size=16)))
    assert "its channels is 1" in refusal(teacher=own_file(path, blueprint(channels=1)))
    turned = own_file(path, names=("ant", "cow", "bee", "dog"))
    assert "its class 1 is 'cow', but that of the pictures is 'bee'" in refusal(teacher=turned)
    assert "its image_size is 16" in refusal(teacher=onnx_file(tmp_path / "a.onnx", blueprint(size=16)))


def test_normalisation_is_said_once(tmp_path: Path) -> None:
    """A file without it needs the job's, one value per channel; a file with it refuses the job's."""
    foreign = onnx_file(tmp_path / "a.onnx", card=False)
    assert "nothing says how its pictures were normalised; give train.teacher_mean" in refusal(teacher=foreign)
    assert "3 number(s) each" in refusal(teacher=foreign, teacher_mean=(0.5,), teacher_std=(0.2,))
    own = own_file(tmp_path / "big.safetensors")
    assert "leave out teacher_mean" in refusal(teacher=own, teacher_mean=THEIRS.mean, teacher_std=THEIRS.std)


def test_foreign_networks_that_answer_otherwise(tmp_path: Path) -> None:
    """A network for one picture at a time, and one that gives no logits of the classes."""
    onnx = pytest.importorskip("onnx")
    said: dict[str, Any] = {"teacher_mean": THEIRS.mean, "teacher_std": THEIRS.std}
    path = onnx_file(tmp_path / "a.onnx", card=False)
    model = onnx.load(path)
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    onnx.save(model, path)
    assert "export it with a batch of any size" in refusal(teacher=path, **said)
    path, free = tmp_path / "b.onnx", {"x": {0: "n", 2: "h", 3: "w"}, "y": {0: "n"}}
    maps = nn.Conv2d(3, 4, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # this exporter is deprecated
        torch.onnx.export(maps, (X,), path, dynamo=False, input_names=["x"], output_names=["y"], dynamic_axes=free)
    assert "a result of shape [2, 4, 8, 8], not [2, 4]" in refusal(teacher=path, **said)
    (tmp_path / "c.onnx").write_bytes(b"no network")
    assert "is not an ONNX file" in refusal(teacher=tmp_path / "c.onnx", **said)


# ---------------------------------------------------------------- the job


PLATFORMS: list[Any] = [{"name": "watch", "macs": "150k"}, {"name": "phone", "macs": "400k"}]


@pytest.mark.parametrize(
    ("train", "words"),
    [
        ({"teacher": "efficientnet_b4"}, 'train.teacher is "efficientnet_b4", allowed is a .safetensors or .onnx file'),
        ({"teacher": "mobilenet_v3_large"}, "with the weights of mobilenet_v3_large: a named network brings none"),
        ({"teacher": "a.onnx", "teacher_file": "b.safetensors"}, "allowed is null: only a teacher that is a named"),
        ({"teacher_file": "b.safetensors"}, "allowed is null: only a teacher that is a named"),
        ({"teacher": "a.onnx", "teacher_weight": 0}, "train.teacher_weight is 0.0, allowed is more than 0 and at most"),
        ({"teacher": "a.onnx", "teacher_temperature": 0}, "train.teacher_temperature is 0.0, allowed is more than 0"),
        ({"teacher": "a.onnx", "teacher_mean": [0.5]}, "given where teacher_std is"),
        ({"teacher": "a.onnx", "teacher_mean": [0.5], "teacher_std": [0]}, "more than 0 in every channel"),
    ],
)
def test_wrong_settings_are_said(train: dict[str, Any], words: str) -> None:
    """A teacher that cannot be is refused when the job is read."""
    with pytest.raises(RequestError, match=re.escape(words)):
        Job.from_dict({"platforms": PLATFORMS, "train": train})


def test_files_belong_to_the_job_file_and_names_do_not(tmp_path: Path) -> None:
    """Relative files are relative to the job file; the name of a network stays a name."""
    path = tmp_path / "job.yaml"
    start = "platforms: [{name: a, macs: 1M}]\ntrain: "
    path.write_text(start + "{teacher: nets/big.safetensors}\n")
    assert load_job(path).train.teacher == str(tmp_path / "nets" / "big.safetensors")
    path.write_text(start + "{teacher: mobilenet_v2, teacher_file: big.safetensors}\n")
    made = load_job(path)
    assert (made.train.teacher, made.train.teacher_file) == ("mobilenet_v2", tmp_path / "big.safetensors")
    assert Job.from_dict(made.resolved()) == made


def digits_job(folder: Path, teacher: Path | None, **train: Any) -> dict[str, Any]:
    job = Job.from_dict(
        {
            "data": {
                "source": "digits",
                "pictures_per_class": 12,
                "weights": 0.75,
                "policy": 0.0,
                "selection": 0.25,
                "augmentation": {"pad": 1, "autoaugment": "cifar10"},
            },
            "space": {"name": "mobilenet_v1", "multiplier": 0.25, "divisor": 4, "image_size": 8},
            "platforms": PLATFORMS,
            "search": {"epochs": 0.5, "batch_size": 16},
            "train": {"epochs": 1, "batch_size": 16, "teacher": teacher and str(teacher), **train},
            "evaluation": {"calibration_pictures": 32, "cloud": 0},
            "baselines": [],
            "device": "cpu",
            "threads": 1,
        }
    )
    with RunFolder.create(folder, job.resolved()) as run:
        return run_job(run, ("search", "train"))


def losses(folder: Path) -> list[float]:
    with RunFolder.reopen(folder, lock=False) as run:
        return [line["loss"] for line in run.metrics("train")]


def test_a_run_teaches_another_run(tmp_path: Path) -> None:
    """A platform's file of one run teaches the networks of the next, which end up elsewhere; its search is the same."""
    first = digits_job(tmp_path / "first", None)
    teacher = tmp_path / "first" / "platforms" / "phone.safetensors"
    taught = digits_job(tmp_path / "second", teacher, teacher_weight=0.8, teacher_temperature=2.0)
    assert [p["architecture"] for p in taught["platforms"]] == [p["architecture"] for p in first["platforms"]]
    assert losses(tmp_path / "first") != losses(tmp_path / "second")
    _, card = read_network(teacher)
    assert card.class_names == tuple("0123456789") and card.blueprint.image_size == 8


def test_a_missing_teacher_stops_before_the_search(tmp_path: Path) -> None:
    """Nothing is searched for a training that cannot be."""
    with pytest.raises(RequestError, match="there is no such file"):
        digits_job(tmp_path / "run", tmp_path / "absent.safetensors")
    assert losses(tmp_path / "run") == [] and not (tmp_path / "run" / "metrics.jsonl").exists()
