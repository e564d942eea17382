"""FBNetV2-F++ of FP-NAS: with 0, 1, 2 or 4 splits of a split attention per row (arXiv 2011.10949).

0 splits are none and 1 is squeeze-excite, so that the space holds that of :mod:`sartor.spaces.fpnas.fbnetv2_f`. It is
1,024 times as large: 2.760e27 architectures.
"""

from __future__ import annotations

from sartor.spaces.fpnas.assembly import SPLITS, macro_space
from sartor.spaces.fpnas.fbnetv2_f import TABLE_1

fbnetv2_f_plus = macro_space(__name__, TABLE_1, SPLITS)
