"""Can weight sharing be trusted? Architectures ranked by supernets against the same ones trained alone.

One question per file: ``space`` what can be chosen, ``sizes`` all numbers and the ways to train a supernet, ``pieces``
what there is to do, ``work`` one piece, ``figures`` what came of it; ``correlation.py`` is the command.
"""
