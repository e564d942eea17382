"""Which baselines a run has."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from sartor import spaces
from sartor.pipeline.baselines import baselines_of, check_baselines


@pytest.mark.parametrize(
    ("space", "mode", "expected"),
    [
        ("mobilenet_v1", "slimmable", ("uniform",)),
        ("mobilenet_v1", "anytime", ()),
        ("proxylessnas", "standalone", ()),
        ("ms_ranas", "anytime", ()),
    ],
)
def test_a_job_that_names_no_baseline_gets_one_that_can_be(space: str, mode: str, expected: tuple[str, ...]) -> None:
    """Uniform widths where the space has them and each platform its network, else none; what is asked for stays."""
    setting: Any = SimpleNamespace(
        space=spaces.create(space, num_classes=10, image_size=32), train=SimpleNamespace(mode=mode)
    )
    assert baselines_of(None, setting) == expected
    check_baselines(baselines_of(None, setting), setting)
    assert baselines_of(["random"], setting) == ("random",) and baselines_of([], setting) == ()
