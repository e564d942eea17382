"""FP-NAS-L1: a large space with split attention, its rows ours (the paper's own table is not public).

|                                 | paper | here     |
|---------------------------------|-------|----------|
| pictures                        | 240   | 240      |
| blocks                          | 32    | 32       |
| architectures                   | 1e36  | 1.061e36 |
| median GMACs of uniform samples | 0.9   | 0.914    |

Expansions and micro choices are those of :mod:`sartor.spaces.fpnas.fbnetv2_f_plus`. A row whose blocks share one
choice contributes 144 architectures per channel value: twelve rows need neither implausibly many values nor few
(reference 1.6, arXiv 2011.10949).
"""

from __future__ import annotations

from sartor.spaces.fpnas.assembly import SPLITS, macro_space
from sartor.spaces.fpnas.macro import Macro, Row

L1 = Macro(
    rows=(
        Row((16, 32, 4), 1, 1, expansions=(1.0,)),
        Row((32, 48, 4), 1, 2),
        Row((32, 48, 4), 3, 1),
        Row((64, 96, 8), 1, 2),
        Row((64, 96, 8), 4, 1),
        Row((112, 176, 8), 1, 2),
        Row((112, 176, 8), 4, 1),
        Row((152, 240, 8), 4, 1),
        Row((152, 240, 8), 3, 1),
        Row((240, 336, 8), 1, 2),
        Row((240, 336, 8), 5, 1),
        Row((272, 368, 8), 4, 1),
    )
)

fpnas_l1 = macro_space(__name__, L1, SPLITS, image_size=240)
