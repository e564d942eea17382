"""FP-NAS-L0 to L2: the large spaces. The row tables are *ours*, the paper's supplement with its own is not public.

What the paper states (its Table 3) and what these tables give, with the expansions and the micro choices of
``fbnetv2_f_plus`` in every row:

| space | input | blocks | architectures      | median GMACs of uniform samples |
|-------|-------|--------|--------------------|---------------------------------|
| L0    | 224   | 27     | 2e32 (2.078e32)    | 0.39 (0.394)                    |
| L1    | 240   | 32     | 1e36 (1.061e36)    | 0.9 (0.916)                     |
| L2    | 256   | 32     | 1e36 (1.061e36)    | 1.1 (1.106)                     |

A row that shares one choice contributes 144 architectures per channel value; eleven rows for L0 and twelve for L1 and
L2 are the numbers that need neither implausibly many nor few of them (reference 1.6).
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

fpnas_l0 = macro_space("fpnas_l0", L0, SPLITS, image_size=224)
fpnas_l1 = macro_space("fpnas_l1", L1, SPLITS, image_size=240)
fpnas_l2 = macro_space("fpnas_l2", L2, SPLITS, image_size=256)
