"""What the paper reports on ImageNet: Bender, Liu et al., "Can weight sharing outperform random architecture search?"

Accuracies in percent as (mean, spread) over five searches or five random searches.
"""

from __future__ import annotations

from collections.abc import Mapping

from searches.variants import Figure

# Validation accuracy of 90 epochs and test accuracy of 360, Tables 4 to 6; searches of 90 epochs.
SEARCHED: Mapping[str, tuple[Figure, Figure]] = {
    "proxylessnas": ((76.3, 0.2), (75.0, 0.1)),
    "proxylessnas_enlarged": ((76.4, 0.1), (75.3, 0.2)),
    "mobilenetv3_like": ((76.6, 0.1), (75.2, 0.2)),
}
# Random search with 20 and with 50 networks, the same tables; and a single random network (validation, Table 1).
RANDOM_20: Mapping[str, tuple[Figure, Figure]] = {
    "proxylessnas": ((75.4, 0.2), (73.9, 0.3)),
    "proxylessnas_enlarged": ((74.4, 0.5), (73.1, 0.6)),
    "mobilenetv3_like": ((74.1, 0.6), (73.0, 0.5)),
}
RANDOM_50: Mapping[str, tuple[Figure, Figure]] = {
    "proxylessnas": ((75.4, 0.2), (74.0, 0.2)),
    "proxylessnas_enlarged": ((74.6, 0.3), (73.2, 0.3)),
    "mobilenetv3_like": ((74.6, 0.3), (73.5, 0.2)),
}
RANDOM_1: Mapping[str, Figure] = {
    "proxylessnas": (74.1, 0.8),
    "proxylessnas_enlarged": (72.1, 1.5),
    "mobilenetv3_like": (71.7, 1.7),
}
# Validation accuracies behind the questions of ablations.py: with the change, and without it.
ABLATIONS: Mapping[str, tuple[Figure, Figure]] = {
    "enlarged_no_warmups": ((75.8, 0.3), (76.4, 0.1)),  # Table 10
    "proxyless_per_stride": ((74.8, 0.2), (76.3, 0.2)),  # Table 8
    "proxyless_per_block": ((75.3, 0.2), (76.3, 0.2)),  # Table 8
}
# MobileNetV3-Like space, Table 6: a search of 360 epochs and one of 90.
FOUR_TIMES_AS_LONG: tuple[Figure, Figure] = ((76.7, 0.2), (76.6, 0.1))
