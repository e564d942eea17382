"""Cells that several tests of the space ms_ranas use."""

from __future__ import annotations

from sartor.spaces.ms_ranas import Genotype

# The cell of reference 3.5 with two nodes.
ORACLE = Genotype(
    normal=(("sep_conv_3x3", 0), ("sep_conv_3x3", 1), ("sep_conv_3x3", 0), ("skip_connect", 1)),
    reduce=(("max_pool_3x3", 0), ("max_pool_3x3", 1), ("max_pool_3x3", 0), ("skip_connect", 2)),
)
