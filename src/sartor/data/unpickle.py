"""Reading the pickles in which CIFAR is published, without the power to run code.

The unpickler knows four names, and each gives a stand-in of our own that only remembers what it is told. Numpy never
sees the pickle: arrays are made afterwards, from checked dtypes, shapes and bytes.
"""

from __future__ import annotations

import io
import pickle
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sartor.errors import RequestError


def safe_unpickle(content: bytes, where: str) -> Any:
    """The object in ``content``, which may hold numbers, text, bytes, lists, dicts and numeric numpy arrays.

    Raises:
        RequestError: the pickle asks for anything else, or is damaged.
    """
    try:
        return _with_arrays(_Unpickler(io.BytesIO(content), encoding="bytes").load())
    except RequestError as error:
        raise RequestError(f"{where}: {error}") from error
    except Exception as error:  # a damaged pickle can fail in any way
        raise RequestError(f"{where}: the file is damaged ({type(error).__name__}: {error})") from error


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if module in ("numpy.core.multiarray", "numpy._core.multiarray") and name == "_reconstruct":
            return _Array
        if module == "numpy" and name in ("ndarray", "dtype"):
            return {"ndarray": _ArrayKind, "dtype": _DType}[name]
        if module == "_codecs" and name == "encode":
            return _encode_latin1  # how Python 3 writes bytes in the protocol of Python 2
        raise RequestError(
            f"the pickle asks for {module}.{name}; only arrays, numbers, text, lists and dicts are read, because "
            "other pickles can run code. Use the published archive, or .npz arrays"
        )


class _ArrayKind:
    """Stands for numpy's array class, which the pickle of an array names."""


class _DType:
    """Stands for a dtype: its name, and its byte order, which comes later."""

    def __init__(self, name: str | bytes, *_: object) -> None:
        self.name = name.decode("ascii") if isinstance(name, bytes) else str(name)
        self.order: Literal["<", ">", "="] = "="

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        order = state[1].decode("ascii") if isinstance(state[1], bytes) else state[1]
        if any(part is not None for part in state[2:5]):
            raise RequestError("the pickle holds an array of records, only plain numeric arrays are read")
        self.order = "<" if order == "<" else ">" if order == ">" else "="

    def real(self) -> np.dtype[Any]:
        dtype = np.dtype(self.name)
        if dtype.kind not in "biuf":
            raise RequestError(f"the pickle holds an array of {dtype}, only numeric arrays are read")
        return dtype.newbyteorder(self.order)


class _Array:
    """Stands for an array: shape, dtype, order and bytes as the pickle gives them."""

    def __init__(self, *_: object) -> None:
        self.state: tuple[Any, ...] = (1, (0,), _DType("u1"), False, b"")

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.state = state

    def real(self) -> NDArray[Any]:
        _, shape, dtype, fortran, content = self.state
        if not isinstance(dtype, _DType) or not isinstance(content, bytes):
            raise RequestError("the pickle holds an array of objects, only numeric arrays are read")
        return np.frombuffer(content, dtype.real()).reshape(shape, order="F" if fortran else "C")


def _with_arrays(value: Any) -> Any:
    """``value`` with real arrays; the batches of CIFAR hold them directly in a dict."""
    if isinstance(value, dict):
        return {key: item.real() if isinstance(item, _Array) else item for key, item in value.items()}
    return value.real() if isinstance(value, _Array | _DType) else value


def _encode_latin1(text: str, encoding: str | bytes = "latin1") -> bytes:
    if encoding not in ("latin1", b"latin1"):
        raise RequestError(f"the pickle asks for the text encoding {encoding!r}")
    return text.encode("latin1")
