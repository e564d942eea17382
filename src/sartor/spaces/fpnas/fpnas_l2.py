"""FP-NAS-L2: a large space with split attention, its rows ours (the paper's own table is not public).

|                                 | paper | here     |
|---------------------------------|-------|----------|
| pictures                        | 256   | 256      |
| blocks                          | 32    | 32       |
| architectures                   | 1e36  | 1.061e36 |
| median GMACs of uniform samples | 1.1   | 1.107    |

Expansions and micro choices are those of :mod:`sartor.spaces.fpnas.fbnetv2_f_plus`. A row whose blocks share one
choice contributes 144 architectures per channel value: twelve rows need neither implausibly many values nor few
(reference 1.6, arXiv 2011.10949).
"""

from __future__ import annotations

from sartor.spaces.fpnas.assembly import SPLITS, macro_space
from sartor.spaces.fpnas.macro import Macro, Row

L2 = Macro(
    rows=(
        Row((16, 32, 4), 1, 1, expansions=(1.0,)),
        Row((36, 52, 4), 1, 2),
        Row((36, 52, 4), 3, 1),
        Row((72, 104, 8), 1, 2),
        Row((72, 104, 8), 4, 1),
        Row((120, 184, 8), 1, 2),
        Row((120, 184, 8), 4, 1),
        Row((160, 248, 8), 4, 1),
        Row((160, 248, 8), 3, 1),
        Row((248, 344, 8), 1, 2),
        Row((248, 344, 8), 5, 1),
        Row((280, 376, 8), 4, 1),
    )
)

fpnas_l2 = macro_space(__name__, L2, SPLITS, image_size=256)
