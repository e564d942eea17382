"""FP-NAS-L0: a large space with split attention, its rows ours (the paper's own table is not public).

|                                 | paper | here     |
|---------------------------------|-------|----------|
| pictures                        | 224   | 224      |
| blocks                          | 27    | 27       |
| architectures                   | 2e32  | 2.078e32 |
| median GMACs of uniform samples | 0.39  | 0.397    |

Expansions and micro choices are those of :mod:`sartor.spaces.fpnas.fbnetv2_f_plus`. A row whose blocks share one
choice contributes 144 architectures per channel value: eleven rows need neither implausibly many values nor few
(reference 1.6, arXiv 2011.10949).
"""

from __future__ import annotations

from sartor.spaces.fpnas.assembly import SPLITS, macro_space
from sartor.spaces.fpnas.macro import Macro, Row

L0 = Macro(
    rows=(
        Row((16, 24, 4), 1, 1, expansions=(1.0,)),
        Row((28, 44, 4), 1, 2),
        Row((28, 44, 4), 2, 1),
        Row((32, 64, 8), 1, 2),
        Row((32, 64, 8), 3, 1),
        Row((72, 136, 8), 1, 2),
        Row((72, 136, 8), 4, 1),
        Row((120, 200, 8), 5, 1),
        Row((168, 264, 8), 1, 2),
        Row((168, 264, 8), 5, 1),
        Row((216, 272, 8), 3, 1),
    )
)

fpnas_l0 = macro_space(__name__, L0, SPLITS, image_size=224)
