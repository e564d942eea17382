"""Random numbers depend on seed, purpose and step, and on nothing else."""

from __future__ import annotations

import itertools
import subprocess
import sys

import numpy as np
import pytest
import torch

from sartor.seeds import numpy_generator, torch_generator

NUMPY_VALUES = [758, 875, 290, 689, 239]
TORCH_VALUES = [270, 54, 412, 687, 101]
CASES = list(itertools.product((0, 1, 2**31 - 1), ("architectures", "platforms", ""), (0, 1, 2, 10_000_000)))


@pytest.mark.parametrize("make", [numpy_generator, torch_generator])
def test_every_seed_purpose_and_step_has_its_own_numbers(make: object) -> None:
    """Generators of different seeds, purposes or steps draw different numbers."""
    draws = {case: first(make(*case)) for case in CASES}  # type: ignore[operator]
    assert len(set(draws.values())) == len(CASES)


def test_the_same_case_draws_the_same() -> None:
    """What was drawn before, and in which order, does not matter."""
    forwards = [first(numpy_generator(*case)) for case in CASES]
    backwards = [first(numpy_generator(*case)) for case in reversed(CASES)]
    assert forwards == backwards[::-1]
    assert first(torch_generator(1, "x", 2)) == first(torch_generator(1, "x", 2))


def test_draws_are_the_same_on_every_machine() -> None:
    """Fixed values: a run that goes on elsewhere, or in a later version, draws what it drew."""
    assert numpy_generator(0, "architectures", 3).integers(1_000, size=5).tolist() == NUMPY_VALUES
    assert torch.randint(1_000, (5,), generator=torch_generator(0, "dropout", 3)).tolist() == TORCH_VALUES


def test_another_process_draws_the_same() -> None:
    """Purposes are words, and words are hashed alike in every process."""
    code = "from sartor.seeds import numpy_generator as g; print(g(5, 'calibration', 7).integers(10**9))"
    found = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert {int(text) for text in found} == {int(numpy_generator(5, "calibration", 7).integers(10**9))}


def test_global_state_is_left_alone() -> None:
    """Neither numpy's nor torch's global generator is read or moved."""
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    torch_generator(0, "x")
    assert torch.equal(torch.rand(1), expected)
    before = np.random.get_state()[1].copy()  # type: ignore[index,union-attr]
    numpy_generator(0, "x")
    assert (np.random.get_state()[1] == before).all()  # type: ignore[index,union-attr]


def first(generator: np.random.Generator | torch.Generator) -> int:
    if isinstance(generator, torch.Generator):
        return int(torch.randint(2**62, (1,), generator=generator))
    return int(generator.integers(2**62))
