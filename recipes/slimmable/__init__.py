"""Tables 2 and 3 of "Optimizing Slimmable Networks for Multiple Target Platforms", taken apart.

``sizes`` says how large, ``pieces`` what there is to do and what needs what, ``work`` does one piece, ``schedule``
all of them, ``tables`` and ``figures`` turn the results into what the paper shows. The command is
``recipes/table2.py``.
"""
