"""Spaces and known networks by name."""

from __future__ import annotations

import dataclasses
import inspect
import subprocess
import sys

import pytest

import sartor
from sartor import spaces
from sartor.config.read import options_type
from sartor.errors import RequestError


def test_unknown_space_names_the_closest() -> None:
    """A misspelt space is refused with the closest known name."""
    with pytest.raises(RequestError, match=r"unknown space 'mobilnet_v1'.*did you mean 'mobilenet_v1'"):
        spaces.create("mobilnet_v1")


def test_unknown_option_names_the_closest() -> None:
    """A misspelt option is refused with the closest known option."""
    with pytest.raises(RequestError, match=r"no option 'num_clases'.*did you mean 'num_classes'"):
        spaces.create("mobilenet_v1", num_clases=10)


def test_unknown_reference_names_the_known_forms() -> None:
    """An unknown network is refused with the forms that are known; a prefix of a known name is not enough."""
    for name in ("resnet_50", "mobilenet_v1_1.0x_plus", "mobilenet_v1_x"):
        with pytest.raises(RequestError, match=r"unknown reference network.*mobilenet_v1_<width>x"):
            sartor.reference(name)


def test_reference_takes_classes_and_size() -> None:
    """A reference network has the classes and the picture size asked for, and builds."""
    blueprint = sartor.reference("mobilenet_v1_0.375x", num_classes=100, image_size=32)
    assert blueprint.name == "mobilenet_v1_0.375x"
    assert (blueprint.num_classes, blueprint.image_size) == (100, 32)
    assert sartor.reference("mobilenet_v1_0.375x").num_classes == 1000


@pytest.mark.parametrize("name", spaces.names())
def test_a_space_is_made_again_from_its_options(name: str) -> None:
    """Name and options of a space make the same space again."""
    space = spaces.create(name, num_classes=7)
    again = spaces.create(space.name, **space.options)
    assert space.name == name
    assert again.fingerprint == space.fingerprint
    assert again.fingerprint != spaces.create(name, num_classes=8).fingerprint
    assert again.num_classes == 7


def test_spaces_and_costs_do_not_load_torch() -> None:
    """Importing the package, creating a space and costing it does not load torch."""
    code = (
        "import sys, numpy, sartor; s = sartor.spaces.create('nas_bench_macro');"
        "s.cost('peak_memory_bytes')(s.sample(5, numpy.random.default_rng(0)));"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", spaces.names())
def test_job_files_know_the_options_of_every_space(name: str) -> None:
    """A job file names a space's options with their types, however the space's function was made."""
    options = {field.name: field.type for field in dataclasses.fields(options_type(name))}
    assert set(options) == set(inspect.signature(spaces.builder(name)).parameters)
    assert not any(isinstance(kind, str) for kind in options.values())
