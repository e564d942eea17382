"""The built-in pictures: 1,797 handwritten digits, 8x8, grey. Origin and licence: ``digits.md`` beside the array."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sartor.data.sources.listing import Listing, LoadOptions, array_split
from sartor.errors import RequestError

ORIGIN = (
    "Optical Recognition of Handwritten Digits (test part), E. Alpaydin and C. Kaynak, UCI Machine Learning "
    "Repository, https://doi.org/10.24432/C50P49, CC BY 4.0; as in scikit-learn"
)


def listing(path: Path | None, options: LoadOptions) -> Listing:
    """The digits; they come with the package, so there is no path to give."""
    if path is not None:
        raise RequestError(f"data 'digits' is built in and takes no path, got {path}; leave the path out")
    with np.load(Path(__file__).parents[1] / "digits.npz", allow_pickle=False) as stored:
        levels, labels = stored["images"], stored["labels"].astype(np.int64)
    images = np.round(levels * (255 / 16)).astype(np.uint8)[..., None]  # [n, 8, 8, 1]
    names = tuple(str(digit) for digit in range(10))
    # A mirrored digit is another digit or none.
    return Listing("digits", ORIGIN, names, array_split(images, labels, "digits"), test=None, flippable=False)
