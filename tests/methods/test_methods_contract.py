"""Every registered method keeps the contract."""

from __future__ import annotations

import pytest

from sartor.errors import RequestError
from sartor.methods import registry
from sartor.methods.method import Method
from sartor.testing import MethodContract


class TestMethods(MethodContract):
    @pytest.fixture(params=registry.names())
    def method_type(self, request: pytest.FixtureRequest) -> type[Method]:
        """Every registered method."""
        return registry.method_class(request.param)


def test_unknown_methods_are_named_with_the_closest() -> None:
    """A name that is nearly right is answered with the one that was meant."""
    with pytest.raises(RequestError, match=r"unknown method 'aosw'; known are .*random; did you mean 'aows'\?"):
        registry.method_class("aosw")
    with pytest.raises(RequestError, match=", ".join(registry.names())):
        registry.method_class("zzzzz")


def test_methods_of_ones_own_are_named_by_module_and_class() -> None:
    """A class of an importable module is a method; what cannot be loaded or is no method is said."""
    assert registry.method_class("sartor.methods.ows:OWS") is registry.method_class("ows")
    for name, words in (("nowhere:Mine", "cannot be loaded"), ("json:dumps", "no subclass"), ("json:", "cannot be")):
        with pytest.raises(RequestError, match=words):
            registry.method_class(name)
    with pytest.raises(RequestError, match="settings_type"):
        registry.method_class("sartor.methods.method:Method")
