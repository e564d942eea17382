"""The results of MS-RANAS (Cioflan & Timofte 2020, arXiv 2009.13940): any-time curves, ablations, collapse, costs."""
