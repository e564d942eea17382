"""The three spaces of TuNAS (Bender et al., CVPR 2020, arXiv 2008.06120), their known networks and index strings.

``proxylessnas``, ``proxylessnas_enlarged`` and ``mobilenetv3_like`` are made by :func:`sartor.spaces.create`.
"""

from sartor.spaces.tunas.index_strings import read_index_string, write_index_string

__all__ = ["read_index_string", "write_index_string"]
