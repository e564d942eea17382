"""FBNetV2-F of FP-NAS: kernel, activation, squeeze-excite, expansion and channels per row (arXiv 2011.10949).

Tables 1 (macro) and 2 (micro) of the paper, taken literally.

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

Every row has a kernel of 0 (bypass), 3 or 5, ReLU or hard swish, and squeeze-excite or not; its blocks share the
choice. The tables give 2.696e24 architectures; the paper prints 6e25, which no natural reading of them yields
(reference 1.2).
"""

from __future__ import annotations

from sartor.spaces.fpnas.assembly import SQUEEZE_EXCITE, macro_space
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

fbnetv2_f = macro_space(__name__, TABLE_1, SQUEEZE_EXCITE)
