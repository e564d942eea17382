"""Operations, ranges and policies against torchvision, which is no dependency: the tests run where it is installed."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from sartor.data.autoaugment import CIFAR10, IMAGENET, RANDAUGMENT, Policy
from sartor.data.operations import OPERATIONS

# Our names -> torchvision's.
THEIRS = {name: "".join(part.capitalize() for part in name.split("_")) for name in OPERATIONS}
THEIRS["autocontrast"] = "AutoContrast"
SIDES = (8, 32, 33, 96)


@pytest.fixture(scope="module")
def oracle() -> Iterator[ModuleType]:
    """``torchvision.transforms.autoaugment``. A wheel for CUDA loads on a CPU once two operators have a name."""
    library = torch.library.Library("torchvision", "FRAGMENT")
    if not hasattr(torch.ops.torchvision, "nms"):
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    yield pytest.importorskip("torchvision.transforms.autoaugment", reason="torchvision is not installed")


def photograph(side: int, mode: str = "RGB") -> Image.Image:
    """A picture with smooth shapes and noise, its channels unlike each other."""
    rng = np.random.default_rng(side)
    coarse = Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((side, side), Image.Resampling.BICUBIC), dtype=float)
    noisy = smooth * (0.4, 0.8, 0.6) + rng.normal(30, 12, smooth.shape)
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).convert(mode)


def by_torchvision(oracle: Any, picture: Image.Image, name: str, magnitude: float) -> np.ndarray[Any, Any]:
    nearest = oracle.InterpolationMode.NEAREST
    return np.asarray(oracle._apply_op(picture, THEIRS[name], magnitude, nearest, None))


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_is_theirs_to_the_bit(oracle: Any, name: str, mode: str) -> None:
    """At every magnitude, either way and at odd and even sizes, an operation gives the very pixels of torchvision."""
    operation = OPERATIONS[name]
    for side, level in itertools.product(SIDES, np.linspace(0, 1, 10)):
        picture, magnitude = photograph(side, mode), operation.magnitude(level, side)
        for signed in {magnitude, -magnitude} if operation.two_ways else {magnitude}:
            ours = np.asarray(operation.apply(picture, signed))
            assert np.array_equal(ours, by_torchvision(oracle, picture, name, signed)), (side, signed)


@pytest.mark.parametrize(("policy", "bins"), [("AutoAugment", 10), ("RandAugment", 31)])
@pytest.mark.parametrize("side", [32, 224, 331])
def test_ranges_are_theirs(oracle: Any, policy: str, bins: int, side: int) -> None:
    """Every level of every operation has torchvision's magnitude, and the same operations go two ways."""
    arguments = (bins, (side, side))
    space = getattr(oracle, policy)()._augmentation_space(*arguments)
    names = [name for name in OPERATIONS if THEIRS[name] in space]
    assert len(names) == len(space)
    assert policy == "AutoAugment" or sorted(names) == sorted(RANDAUGMENT)
    for name in names:
        magnitudes, signed = space[THEIRS[name]]
        assert signed == OPERATIONS[name].two_ways
        for step, theirs in enumerate(np.atleast_1d(magnitudes)):
            ours = OPERATIONS[name].magnitude(step / (bins - 1), side)
            assert ours == pytest.approx(float(theirs), abs=2e-5), (name, step)
            if name.startswith("translate"):
                assert int(ours) == int(theirs)


@pytest.mark.parametrize(("ours", "theirs"), [(IMAGENET, "imagenet"), (CIFAR10, "cifar10")])
def test_policies_are_theirs(oracle: Any, ours: Policy, theirs: str) -> None:
    """All 25 sub-policies agree in operations, probabilities, and magnitudes where an operation has one."""
    found = oracle.AutoAugment(oracle.AutoAugmentPolicy(theirs)).policies
    assert len(found) == len(ours) == 25
    for pair, expected in zip(ours, found, strict=True):
        for (name, probability, level), (their_name, their_probability, their_level) in zip(
            pair, expected, strict=True
        ):
            assert (THEIRS[name], probability) == (their_name, their_probability)
            assert their_level in (None, level)
            strengths = {OPERATIONS[name].magnitude(step, 32) for step in (0.0, 1.0)}
            assert (their_level is None) == (len(strengths) == 1)
