"""AutoAugment and RandAugment: which operations happen to a picture, as drawn for a whole batch.

Shapes: B pictures, K operations on each, one after another. Needs no torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sartor.data.operations import NAMES, OPERATIONS

# Operation, probability, and magnitude from 0 to 9.
Step = tuple[str, float, int]
Policy = tuple[tuple[Step, Step], ...]

_STRONGEST = 9  # of AutoAugment's magnitudes
RANDAUGMENT_STRONGEST = 30

# Cubuk et al. 2019 (arXiv:1805.09501), Table 9: found on a part of ImageNet. Magnitudes of operations without any
# are 0 here. Five of the 25 stand there twice.
IMAGENET: Policy = (
    (("posterize", 0.4, 8), ("rotate", 0.6, 9)),
    (("solarize", 0.6, 5), ("autocontrast", 0.6, 0)),
    (("equalize", 0.8, 0), ("equalize", 0.6, 0)),
    (("posterize", 0.6, 7), ("posterize", 0.6, 6)),
    (("equalize", 0.4, 0), ("solarize", 0.2, 4)),
    (("equalize", 0.4, 0), ("rotate", 0.8, 8)),
    (("solarize", 0.6, 3), ("equalize", 0.6, 0)),
    (("posterize", 0.8, 5), ("equalize", 1.0, 0)),
    (("rotate", 0.2, 3), ("solarize", 0.6, 8)),
    (("equalize", 0.6, 0), ("posterize", 0.4, 6)),
    (("rotate", 0.8, 8), ("color", 0.4, 0)),
    (("rotate", 0.4, 9), ("equalize", 0.6, 0)),
    (("equalize", 0.0, 0), ("equalize", 0.8, 0)),
    (("invert", 0.6, 0), ("equalize", 1.0, 0)),
    (("color", 0.6, 4), ("contrast", 1.0, 8)),
    (("rotate", 0.8, 8), ("color", 1.0, 2)),
    (("color", 0.8, 8), ("solarize", 0.8, 7)),
    (("sharpness", 0.4, 7), ("invert", 0.6, 0)),
    (("shear_x", 0.6, 5), ("equalize", 1.0, 0)),
    (("color", 0.4, 0), ("equalize", 0.6, 0)),
    (("equalize", 0.4, 0), ("solarize", 0.2, 4)),
    (("solarize", 0.6, 5), ("autocontrast", 0.6, 0)),
    (("invert", 0.6, 0), ("equalize", 1.0, 0)),
    (("color", 0.6, 4), ("contrast", 1.0, 8)),
    (("equalize", 0.8, 0), ("equalize", 0.6, 0)),
)

# The same paper, Table 7: found on 4,000 pictures of CIFAR-10, used for CIFAR-100 too.
CIFAR10: Policy = (
    (("invert", 0.1, 7), ("contrast", 0.2, 6)),
    (("rotate", 0.7, 2), ("translate_x", 0.3, 9)),
    (("sharpness", 0.8, 1), ("sharpness", 0.9, 3)),
    (("shear_y", 0.5, 8), ("translate_y", 0.7, 9)),
    (("autocontrast", 0.5, 8), ("equalize", 0.9, 2)),
    (("shear_y", 0.2, 7), ("posterize", 0.3, 7)),
    (("color", 0.4, 3), ("brightness", 0.6, 7)),
    (("sharpness", 0.3, 9), ("brightness", 0.7, 9)),
    (("equalize", 0.6, 5), ("equalize", 0.5, 1)),
    (("contrast", 0.6, 7), ("sharpness", 0.6, 5)),
    (("color", 0.7, 7), ("translate_x", 0.5, 8)),
    (("equalize", 0.3, 7), ("autocontrast", 0.4, 8)),
    (("translate_y", 0.4, 3), ("sharpness", 0.2, 6)),
    (("brightness", 0.9, 6), ("color", 0.2, 8)),
    (("solarize", 0.5, 2), ("invert", 0.0, 3)),
    (("equalize", 0.2, 0), ("autocontrast", 0.6, 0)),
    (("equalize", 0.2, 8), ("equalize", 0.6, 4)),
    (("color", 0.9, 9), ("equalize", 0.6, 6)),
    (("autocontrast", 0.8, 4), ("solarize", 0.2, 8)),
    (("brightness", 0.1, 3), ("color", 0.7, 0)),
    (("solarize", 0.4, 5), ("autocontrast", 0.9, 3)),
    (("translate_y", 0.9, 9), ("translate_y", 0.7, 9)),
    (("autocontrast", 0.9, 2), ("solarize", 0.8, 3)),
    (("equalize", 0.8, 8), ("invert", 0.1, 3)),
    (("translate_y", 0.7, 9), ("autocontrast", 0.9, 1)),
)

PolicyName = Literal["cifar10", "imagenet"]
POLICIES: dict[PolicyName, Policy] = {"cifar10": CIFAR10, "imagenet": IMAGENET}

# Cubuk et al. 2019 (arXiv:1909.13719), section 3: what RandAugment chooses from. Not invert.
RANDAUGMENT = tuple(name for name in NAMES if name != "invert")


@dataclass(frozen=True, eq=False)
class Changes:
    """What happens to the pictures of a batch, as :func:`sartor.data.operations.change` takes it.

    ``operations`` int64 ``[B, K]``, numbers in ``NAMES``; ``magnitudes`` float64 ``[B, K]`` with their signs.
    """

    operations: NDArray[np.int64]
    magnitudes: NDArray[np.float64]

    def rows(self, low: int, high: int) -> Changes:
        """The changes of pictures ``low`` to ``high - 1``."""
        return Changes(self.operations[low:high], self.magnitudes[low:high])


def draw_policy(policy: Policy, count: int, side: int, rng: np.random.Generator) -> Changes:
    """AutoAugment for ``count`` pictures: one sub-policy for each, whose operations happen with their probabilities."""
    uniform = rng.random((count, 1 + 2 * 2))
    chosen = (uniform[:, 0] * len(policy)).astype(np.int64)
    numbers = np.array([[NAMES.index(name) for name, _, _ in pair] for pair in policy])
    probabilities = np.array([[probability for _, probability, _ in pair] for pair in policy])
    levels = np.array([[level / _STRONGEST for _, _, level in pair] for pair in policy])
    happens = uniform[:, 1:3] < probabilities[chosen]
    operations = np.where(happens, numbers[chosen], NAMES.index("identity"))
    return Changes(operations, _magnitudes(operations, levels[chosen], side, uniform[:, 3:] < 0.5))


def draw_randaugment(number: int, magnitude: int, count: int, side: int, rng: np.random.Generator) -> Changes:
    """RandAugment for ``count`` pictures: ``number`` operations each, all at a ``magnitude`` from 0 to 30."""
    uniform = rng.random((count, 2, number))
    numbers = np.array([NAMES.index(name) for name in RANDAUGMENT])
    operations = numbers[(uniform[:, 0] * len(numbers)).astype(np.int64)]
    levels = np.full(operations.shape, magnitude / RANDAUGMENT_STRONGEST)
    return Changes(operations, _magnitudes(operations, levels, side, uniform[:, 1] < 0.5))


def _magnitudes(
    operations: NDArray[np.int64], levels: NDArray[np.float64], side: int, turned: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """The magnitudes of operations at levels from 0 to 1, negative where ``turned`` and the operation goes two ways."""
    kinds = [OPERATIONS[name] for name in NAMES]
    pairs = zip(operations.ravel().tolist(), levels.ravel().tolist(), strict=True)
    values = np.array([kinds[number].magnitude(level, side) for number, level in pairs]).reshape(operations.shape)
    two_ways = np.array([kind.two_ways for kind in kinds])[operations]
    return np.where(two_ways & turned, -values, values)
