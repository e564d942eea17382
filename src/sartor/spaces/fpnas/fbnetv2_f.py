"""The FBNetV2-F spaces of FP-NAS, Table 1 (macro) and Table 2 (micro), taken literally.

| row  | largest input | expansion             | channels (min, max, step) | blocks | stride |
|------|---------------|-----------------------|---------------------------|--------|--------|
| stem | 224 x 3       | conv 3x3              | 16                        | 1      | 2      |
| 1    | 112 x 16      | 1                     | (12, 16, 4)               | 1      | 1      |
| 2    | 112 x 16      | 0.75, 1.5, ... to 4.5 | (16, 24, 4)               | 1      | 2      |
| 3    | 56 x 24       | the same              | (16, 24, 4)               | 2      | 1      |
| 4    | 56 x 24       | the same              | (16, 40, 8)               | 1      | 2      |
| 5    | 28 x 40       | the same              | (16, 40, 8)               | 2      | 1      |
| 6    | 28 x 40       | the same              | (48, 80, 8)               | 1      | 2      |
| 7    | 14 x 80       | the same              | (48, 80, 8)               | 2      | 1      |
| 8    | 14 x 80       | the same              | (72, 112, 8)              | 3      | 1      |
| 9    | 14 x 112      | the same              | (112, 184, 8)             | 1      | 2      |
| 10   | 7 x 184       | the same              | (112, 184, 8)             | 3      | 1      |
| head | 7 x 184       | conv 1x1, pool, linear | 1984                     |        |        |

Every block has a kernel of 0 (bypass), 3 or 5, ReLU or hard swish, and squeeze-excite or not (``fbnetv2_f``,
``fbnetv2_f_fine``) or 0, 1, 2 or 4 splits of a split attention, where 1 is squeeze-excite (``fbnetv2_f_plus``, the
paper's FBNetV2-F++). The blocks of a row share one choice, in the fine space every block has its own.

These tables give 2.696e24, 5.840e42 and 2.760e27 architectures; the paper prints 6e25, 1e45 and a thousand times the
first, which no natural reading of its tables yields but for that ratio (reference 1.2).
"""

from __future__ import annotations

from sartor.spaces.fpnas.assembly import SPLITS, SQUEEZE_EXCITE, macro_space
from sartor.spaces.fpnas.macro import Macro, Row

TABLE_1 = Macro(
    rows=(
        Row((12, 16, 4), 1, 1, expansions=(1.0,)),
        Row((16, 24, 4), 1, 2),
        Row((16, 24, 4), 2, 1),
        Row((16, 40, 8), 1, 2),
        Row((16, 40, 8), 2, 1),
        Row((48, 80, 8), 1, 2),
        Row((48, 80, 8), 2, 1),
        Row((72, 112, 8), 3, 1),
        Row((112, 184, 8), 1, 2),
        Row((112, 184, 8), 3, 1),
    ),
    stem=16,
    head=1984,
)

fbnetv2_f = macro_space("fbnetv2_f", TABLE_1, SQUEEZE_EXCITE)
fbnetv2_f_fine = macro_space("fbnetv2_f_fine", TABLE_1, SQUEEZE_EXCITE, fine=True)
fbnetv2_f_plus = macro_space("fbnetv2_f_plus", TABLE_1, SPLITS)
