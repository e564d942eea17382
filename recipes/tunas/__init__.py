"""Experiments around "Can weight sharing outperform random architecture search? An investigation with TuNAS".

``cifar.py`` compares networks found by whole searches with random ones of the same cost, ``ablations.py`` searches
that differ in one thing. ``sizes`` says how large, ``variants`` what the searches change, ``pieces`` what there is to
do and what needs what, ``work`` does one piece, ``worklist`` all of them; ``comparison`` and ``contrasts`` turn the
results into figures.
"""
