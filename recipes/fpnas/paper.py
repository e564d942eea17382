"""What the paper reports on ImageNet: Yan et al., "FP-NAS: Fast Probabilistic Neural Architecture Search".

Top-1 accuracies in percent, each of one search (no spreads are given); pairs are with a change and without it.
"""

from __future__ import annotations

from collections.abc import Mapping

from searches.variants import Figure

Pair = tuple[Figure, Figure]


def _pair(changed: float, base: float) -> Pair:
    return (changed, None), (base, None)


# Table 4: adaptive against 14 fixed samples, in FBNetV2-F (by the fixed number) and in the fine space.
ADAPTIVE: Mapping[int, Pair] = {14: _pair(68.6, 68.3)}
FINE: Pair = _pair(67.2, 66.3)
# Table 5: against the joint distribution.
TABLE_5: Mapping[str, Pair] = {
    "factorised": _pair(67.6, 68.6),
    "mixed_80": _pair(68.6, 68.6),
    "mixed_150": _pair(68.2, 68.6),
}
# Table 7, 128 pixels: S1++ against S1 (squeeze-excite), and against S1 with 2 and 4 splits in place of it.
TABLE_7: Mapping[int, Pair] = {1: _pair(70.0, 68.6), 2: _pair(70.0, 69.3), 4: _pair(70.0, 69.5)}
