"""The space of MS-RANAS (arXiv 2009.13940) and its cells in the field's usual form.

``ms_ranas`` is made by :func:`sartor.spaces.create`.
"""

from sartor.spaces.ms_ranas.genotypes import Genotype, read_genotype, write_genotype

__all__ = ["Genotype", "read_genotype", "write_genotype"]
