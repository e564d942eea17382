"""Searches compared: with random networks of the same cost, and with searches that differ in one thing.

One question per file: ``sizes`` all numbers of an experiment, ``variants`` how searches differ, ``experiment`` what a
method's experiment is made of, ``pieces`` what there is to do, ``worklist`` in which processes, ``work`` one piece;
``comparison`` and ``contrasts`` the figures. The methods' own numbers are in their folders (tunas, fpnas).
"""
