"""FBNetV2-F-Fine of FP-NAS: the same, chosen for each of the 17 blocks (arXiv 2011.10949).

5.840e42 architectures by the table of :mod:`sartor.spaces.fpnas.fbnetv2_f`, channels chosen per block as well; the
paper prints 1e45.
"""

from __future__ import annotations

from sartor.spaces.fpnas.assembly import SQUEEZE_EXCITE, macro_space
from sartor.spaces.fpnas.fbnetv2_f import TABLE_1

fbnetv2_f_fine = macro_space(__name__, TABLE_1, SQUEEZE_EXCITE, fine=True)
