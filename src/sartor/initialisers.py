"""The values that weights start from: drawn from a generator that is handed in, so that a seed fixes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Initialiser = Literal["he_fan_out", "tensorflow"]

# A standard normal cut at two standard deviations is left with this one (0.8796...): TensorFlow makes up for it.
_CUT_DEVIATION = 0.87962566103423978
_LINEAR_DEVIATION = 0.01


def initialise(
    weight: Tensor, bias: Tensor | None, groups: int, generator: torch.Generator, kind: Initialiser = "he_fan_out"
) -> None:
    """Fills the weight of a convolution ``[out, in / groups, k, k]`` or of a linear layer ``[out, in]``, and its bias.

    ``he_fan_out``: He's normal for convolutions (fan-out, per group), torch's own uniform for linear layers and for
    biases. ``tensorflow``, as the official code of TuNAS has it: He's normal with fan-in (of one group, so ``k * k``
    for a depthwise kernel), cut at two of its standard deviations and widened to the variance ``2 / fan-in`` that it
    had uncut; N(0, 0.01) for linear layers; biases at 0. Batch norms start from 1 and 0 either way.
    """
    import torch

    with torch.no_grad():
        if kind == "tensorflow":
            _tensorflow(weight, bias, generator)
        else:
            _he_fan_out(weight, bias, groups, generator)


def _he_fan_out(weight: Tensor, bias: Tensor | None, groups: int, generator: torch.Generator) -> None:
    if weight.ndim == 4:
        fan_out = weight.shape[0] * weight.shape[2] * weight.shape[3] // groups
        weight.normal_(0.0, (2.0 / fan_out) ** 0.5, generator=generator)
    else:
        bound = weight.shape[1] ** -0.5
        weight.uniform_(-bound, bound, generator=generator)
    if bias is not None:
        bound = (weight[0].numel()) ** -0.5
        bias.uniform_(-bound, bound, generator=generator)


def _tensorflow(weight: Tensor, bias: Tensor | None, generator: torch.Generator) -> None:
    from torch.nn.init import trunc_normal_

    if weight.ndim == 4:
        deviation = (2.0 / weight[0].numel()) ** 0.5 / _CUT_DEVIATION
        trunc_normal_(weight, 0.0, deviation, -2 * deviation, 2 * deviation, generator=generator)
    else:
        weight.normal_(0.0, _LINEAR_DEVIATION, generator=generator)
    if bias is not None:
        bias.zero_()
