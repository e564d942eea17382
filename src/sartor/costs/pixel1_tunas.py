"""Device ``pixel1_tunas``: the latency model that the authors of TuNAS published for their three spaces.

Google Pixel 1 CPU, 224x224 pixels, batch 1, simulated: linear regressions on latencies predicted with NetAdapt
look-up tables (Bender, Liu et al., CVPR 2020, and the official README). The coefficients in ``pixel1_tunas.json`` are
those of google-research/google-research, ``tunas/cost_model_data.py`` at commit 0c1bbe5f, Apache-2.0, in nanoseconds.

The published model reproduces the latencies that the paper states to the printed digit. In ``mobilenetv3_like`` six
coefficients could not be read with certainty; a network can be off by about 0.05 ms through them. The classifier has no
coefficients: what the official 1,001 classes take is in the intercept and in the filters before them, and other numbers
of classes are not corrected for (1,000 classes more are 1 to 2 million of 200 to 400 million MACs).
"""

from __future__ import annotations

import json
from functools import lru_cache
from importlib import resources
from typing import TYPE_CHECKING

from sartor.costs.linear import LinearModel, linear_cost, read_models

if TYPE_CHECKING:
    from sartor.costs.factors import FactorCost
    from sartor.space import SearchSpace


def pixel1_tunas(space: SearchSpace) -> FactorCost:
    """The latency of ``proxylessnas``, ``proxylessnas_enlarged`` or ``mobilenetv3_like``, in whole nanoseconds.

    Raises:
        RequestError: another space, another size than 224, or options that change the network.
    """
    return linear_cost("pixel1_tunas", models(), space)


@lru_cache(maxsize=1)
def models() -> tuple[LinearModel, ...]:
    """The three models as published."""
    file = resources.files("sartor.costs") / "pixel1_tunas.json"
    return read_models(json.loads(file.read_text(encoding="utf-8")))
