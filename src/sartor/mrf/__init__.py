"""Exact inference over factors: minima within budgets, the k best, counts, marginals, samples.

Everything is one sweep over the factors' blocks (``elimination.py``) read in different ways.
"""

from sartor.mrf.budgeted import cheapest, minimise
from sartor.mrf.counting import count
from sartor.mrf.kbest import k_best
from sartor.mrf.lagrangian import bisection, lagrangian
from sartor.mrf.problem import Budget, Problem, Solution
from sartor.mrf.smoothed import log_partition, marginals, sample, scope_marginals

__all__ = [
    "Budget",
    "Problem",
    "Solution",
    "bisection",
    "cheapest",
    "count",
    "k_best",
    "lagrangian",
    "log_partition",
    "marginals",
    "minimise",
    "sample",
    "scope_marginals",
]
