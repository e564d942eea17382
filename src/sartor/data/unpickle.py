"""Reading the pickles in which CIFAR is published, without the power to run code."""

from __future__ import annotations

import io
import pickle
from typing import Any

import numpy as np

from sartor.errors import RequestError


def safe_unpickle(content: bytes, where: str) -> Any:
    """The object in ``content``, which may hold numbers, text, bytes, lists, dicts and numeric numpy arrays.

    Raises:
        RequestError: the pickle asks for anything else, or is damaged.
    """
    try:
        return _Unpickler(io.BytesIO(content), encoding="bytes").load()
    except RequestError as error:
        raise RequestError(f"{where}: {error}") from error
    except Exception as error:  # a damaged pickle can fail in any way
        raise RequestError(f"{where}: the file is damaged ({type(error).__name__}: {error})") from error


class _Unpickler(pickle.Unpickler):
    """Finds only the names below; every one of them is a stand-in that checks what it is given."""

    def find_class(self, module: str, name: str) -> Any:
        if module in ("numpy.core.multiarray", "numpy._core.multiarray") and name == "_reconstruct":
            return _empty_array
        if module == "numpy" and name in ("ndarray", "dtype"):
            return {"ndarray": _ArrayKind, "dtype": _numeric_dtype}[name]
        if module == "_codecs" and name == "encode":
            return _encode_latin1  # how Python 3 writes bytes in the protocol of Python 2
        raise RequestError(
            f"the pickle asks for {module}.{name}; only arrays, numbers, text, lists and dicts are read, because "
            "other pickles can run code. Use the published archive, or .npz arrays"
        )


class _ArrayKind:
    """Stands for numpy's array class; nothing but ``_empty_array`` does anything with it."""


class _Array(np.ndarray[Any, Any]):
    """An array whose state is checked before it is set: numeric dtypes only, no object pointers."""

    def __setstate__(self, state: tuple[Any, ...], /) -> None:
        _check_numeric(state[2])
        super().__setstate__(state)


def _empty_array(kind: object, shape: object, typecode: object) -> _Array:
    if kind is not _ArrayKind:
        raise RequestError("the pickle holds an unusual kind of array")
    return _Array((0,), np.int8)


def _numeric_dtype(name: str | bytes, *_: object) -> np.dtype[Any]:
    # A copy: the pickle sets the state of what it gets, and numpy's own dtypes are shared by the whole process.
    return _check_numeric(np.dtype(name.decode("ascii") if isinstance(name, bytes) else name, copy=True))


def _check_numeric(dtype: Any) -> np.dtype[Any]:
    if not isinstance(dtype, np.dtype) or dtype.kind not in "biuf":
        raise RequestError(f"the pickle holds an array of {dtype}, only numeric arrays are read")
    return dtype


def _encode_latin1(text: str, encoding: str | bytes = "latin1") -> bytes:
    if encoding not in ("latin1", b"latin1"):
        raise RequestError(f"the pickle asks for the text encoding {encoding!r}")
    return text.encode("latin1")
