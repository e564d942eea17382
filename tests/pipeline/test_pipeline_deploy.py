"""Networks shipped for another size of pictures than they were trained at, and latency budgets that hold there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pipeline_jobs
import pytest
import torch
from PIL import Image

import sartor
import sartor.pipeline
from sartor import Platform, data, spaces
from sartor.config import Job
from sartor.data import Augmentation
from sartor.data.decode import decode_square, resize_side, to_squares
from sartor.errors import RequestError
from sartor.evaluate import evaluate
from sartor.export.session import open_session, read_card, run_session
from sartor.pipeline import pick
from sartor.pipeline.deploying import DeployPictures
from sartor.pipeline.resolve import make_setting
from sartor.pipeline.training import load_weights
from sartor.run import RunFolder
from sartor.seeds import numpy_generator
from sartor.spaces.layouts import resized
from sartor.testing.examples import ruled
from sartor.train.calibration import recalibrate
from sartor.train.settings import FinalTraining, SearchTraining

# The gradient of a prefix is a strided view on purpose (see sartor.elastic.layers).
pytestmark = pytest.mark.filterwarnings("ignore:grad and param do not obey the gradient layout")

CHANGES: dict[str, Any] = {
    "deploy_image_size": 16,
    "platforms": [{"name": "watch", "macs": "300k"}],
    "search": {"epochs": 1},
    "train": {"epochs": 1, "dropout": 0.0},
    "evaluation": {"cloud": 3},
    "export": {"deploy_test_pictures": 100},
    "baselines": ["uniform"],
}


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A run trained at 8 pixels and deployed at 16: its folder and its result."""
    path = tmp_path_factory.mktemp("deploy") / "run"
    return path, pipeline_jobs.run(path, **CHANGES)


def space_at(size: int) -> sartor.SearchSpace:
    """The space of that run, with the strides that suit 16 pixels."""
    options = {"num_classes": 10, "in_channels": 1, "multiplier": 0.25, "divisor": 4, "layout": "cifar"}
    return spaces.create("mobilenet_v1", image_size=size, **options)


def test_costs_are_those_of_the_deploy_size(deployed: tuple[Path, dict[str, Any]]) -> None:
    """Budgets, choices, baselines and random networks are counted at 16 pixels, with the strides of 16 pixels."""
    path, result = deployed
    (platform,), (uniform,) = result["platforms"], result["baselines"]
    larger = space_at(16)
    assert result["space"]["options"] == larger.options
    assert result["data"]["image_size"] == 8 and result["data"]["deploy_image_size"] == 16
    assert platform["costs"]["macs"] == larger.blueprint(platform["architecture"]).macs <= 300_000
    found = uniform["platforms"][0]
    assert found["costs"]["macs"] == larger.blueprint(found["architecture"]).macs <= 300_000
    assert (
        min(point["macs"] for point in result["cloud"]) > space_at(8).cost("macs")(np.array([larger.smallest.row]))[0]
    )
    with RunFolder.reopen(path, lock=False) as folder:
        again = pick(folder, Platform("again", {"macs": "300k"}))
    assert again["architecture"] == platform["architecture"] and again["costs"] == platform["costs"]


def test_files_take_pictures_of_the_deploy_size(deployed: tuple[Path, dict[str, Any]]) -> None:
    """The exported file says and takes 16 pixels, and was verified there; the weights are those of the training."""
    path, result = deployed
    (platform,) = result["platforms"]
    session = open_session(path / platform["onnx"])
    assert read_card(session, path).image_size == 16
    assert run_session(session, np.zeros((1, 1, 16, 16), np.float32)).shape == (1, 10)
    assert platform["onnx_top1_agreement"] == 1.0
    load_weights(space_at(8).blueprint(platform["architecture"]).build(), path / platform["weights"])


def test_statistics_and_accuracy_are_measured_at_the_deploy_size(deployed: tuple[Path, dict[str, Any]]) -> None:
    """The file's logits are those of the trained weights with batch norms calibrated on enlarged training pictures."""
    path, result = deployed
    (platform,) = result["platforms"]
    with RunFolder.reopen(path, lock=False) as folder:
        setting = make_setting(Job.from_resolved(folder.configuration), folder)
    network = space_at(16).blueprint(platform["architecture"]).build()
    load_weights(network, path / platform["weights"])
    rows, _ = setting.calibration_rows()
    recalibrate(network, network, [normalised(setting, setting.pictures.train.images[rows])])
    facts = platform["deployed"]
    assert (facts["image_size"], facts["training_image_size"], facts["pictures"]) == (16, 8, "enlarged")
    assert facts["test_pictures"] == 100
    x = normalised(setting, setting.pictures.test.images[:20])
    with torch.no_grad():
        expected = network(x).numpy()
    assert run_session(open_session(path / platform["onnx"]), x.numpy()) == pytest.approx(expected, abs=1e-3)
    test = setting.pictures.test
    judging = numpy_generator(0, "deploy").permutation(setting.index_sets.test)[:100]
    batch = (normalised(setting, test.images[judging]), torch.from_numpy(test.labels[judging]))
    assert facts["test_accuracy"] == pytest.approx(evaluate(network, [batch]).accuracy, abs=1.01)


def normalised(setting: Any, images: Any) -> torch.Tensor:
    """Pictures enlarged to 16 pixels as the network takes them, computed by hand."""
    pixels = torch.from_numpy(to_squares(images, 16).astype(np.float32) / 255).permute(0, 3, 1, 2)
    return (pixels - torch.tensor(setting.normalisation.mean)) / torch.tensor(setting.normalisation.std)


def test_the_same_size_changes_nothing(tmp_path: Path) -> None:
    """Asked for at the size of the pictures, there is no second space."""
    configuration = Job.from_dict(pipeline_jobs.job(deploy_image_size=8)).resolved()
    with RunFolder.create(tmp_path / "run", configuration) as folder:
        setting = make_setting(Job.from_resolved(configuration), folder)
    assert setting.deploy is None and setting.deploy_space is setting.space


def test_a_space_of_ones_own_is_refused() -> None:
    """A space that is not made from options cannot be made larger; the others keep everything but their size."""
    with pytest.raises(RequestError, match=r"deploy_image_size: space 'ruled' is for pictures of .* alone"):
        resized(ruled(), 64)
    for name in ("mobilenet_v1", "proxylessnas", "mobilenetv3_like"):
        small = spaces.create(name, image_size=32)
        large = resized(small, 96)
        assert large.decisions == small.decisions and large.image_size == 96
        networks = [space.blueprint(small.largest.values) for space in (small, large)]
        strides = [[(layer.kernel, layer.stride) for layer in b.layers if layer.params] for b in networks]
        assert strides[0] == strides[1] and networks[0].params == networks[1].params


def save_pictures(path: Path, side: int, count: int = 60) -> None:
    """Random pictures of ten classes."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, side, side, 3), dtype=np.uint8)
    np.savez(path, x_train=images, y_train=np.arange(count) % 10, x_test=images[:20], y_test=np.arange(20) % 10)


def test_larger_picture_files_are_decoded_anew(tmp_path: Path) -> None:
    """A folder of larger files: the deploy size is decoded from the files, only where it is needed."""
    rng = np.random.default_rng(0)
    for k in range(12):
        folder = tmp_path / "pictures" / f"class{k % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (90 + k, 110, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{k}.png")
    changes = {
        "data": {
            "source": "folder",
            "path": str(tmp_path / "pictures"),
            "image_size": 16,
            "cache": str(tmp_path / "c"),
        },
        "deploy_image_size": 40,
        "space": {"name": "mobilenet_v1", "multiplier": 0.25, "divisor": 4},
    }
    job = pipeline_jobs.job(**changes)
    del job["data"]["pictures_per_class"]
    made = Job.from_dict(job)
    with RunFolder.create(tmp_path / "run", made.resolved()) as run_folder:
        setting = make_setting(made, run_folder)
        rows = np.array([5, 1])
        pictures = DeployPictures(setting, {"train": np.array([1, 5, 7]), "test": np.array([0])})
        pixels = pictures.pixels("train", rows)
        ((x, labels),) = pictures.batches("train", rows, 8)
    assert pictures.how == "decoded" and pixels.shape == (2, 40, 40, 3)
    assert labels.tolist() == setting.pictures.train.labels[rows].tolist() and x.shape == (2, 3, 40, 40)
    files = sorted((tmp_path / "pictures").rglob("*.png"))
    decoded = [decode_square(file, 3, 40, resize_side(40)) for file in files]
    assert all(any((p == d).all() for d in decoded) for p in pixels)


@pytest.mark.parametrize("given", [8, 16])
def test_search_takes_a_deploy_size(given: int) -> None:
    """In Python too, whichever of the two sizes the space has; the network returned takes the deploy size."""
    found = sartor.search(
        "random",
        space=space_at(given),
        data=data.load("digits", pictures_per_class=20),
        platforms=[Platform("watch", {"macs": "300k"})],
        search_training=SearchTraining(epochs=0.5, batch_size=16),
        final_training=FinalTraining(epochs=0.5, batch_size=16, dropout=0.0),
        augmentation=Augmentation(),
        deploy_image_size=16,
        threads=1,
        device="cpu",
    )["watch"]
    assert found.architecture.space.image_size == 16
    assert found.architecture.blueprint.macs == found.choice.costs["macs"] <= 300_000
    assert found.network(torch.zeros(1, 1, 16, 16)).shape == (1, 10)
    assert found.deployed is not None and found.deployed["image_size"] == 16
    assert 0 <= found.deployed["test_accuracy"] <= 100


@pytest.mark.slow
def test_a_latency_budget_of_the_deploy_size_holds(tmp_path: Path) -> None:
    """From small pictures to a verified file for 224 pixels, within a budget in milliseconds on a Pixel 1."""
    save_pictures(tmp_path / "pictures.npz", 8)
    job = pipeline_jobs.job(
        data=None,
        space=None,
        method="random",
        platforms=[{"name": "phone", "latency_ms": "60ms", "device": "pixel1_tunas"}],
        deploy_image_size=224,
        search={"epochs": 1, "batch_size": 8},
        train={"epochs": 1, "batch_size": 8, "dropout": 0.0},
        evaluation={"calibration_pictures": 16, "cloud": 2},
        export={"verification_pictures": 4, "deploy_test_pictures": 8},
        baselines=["random_trained"],
    )
    job |= {"data": {"source": "arrays", "path": str(tmp_path / "pictures.npz"), "augmentation": "none"}}
    job |= {"space": "proxylessnas", "random_trained": {"networks": 2, "window": 0.02}}
    with RunFolder.create(tmp_path / "run", Job.from_dict(job).resolved()) as folder:
        result = sartor.pipeline.run_job(folder)
        assert pick(folder, Platform("phone", {"latency_ms": 60}, device="pixel1_tunas"))["costs"]["latency_ms"] <= 60
    (platform,), (baseline,) = result["platforms"], result["baselines"]
    space = spaces.create("proxylessnas", num_classes=10)
    row = space.encode(platform["architecture"])
    assert platform["costs"]["latency_ms"] == pytest.approx(space.cost("latency_ms", device="pixel1_tunas")(row)[0])
    assert platform["costs"]["latency_ms"] <= 60 and platform["onnx_top1_agreement"] == 1.0
    assert all(58.8 <= tried["costs"]["latency_ms"] <= 60 for tried in baseline["platforms"][0]["tried"])
    assert all("latency_ms" in point for point in result["cloud"])
