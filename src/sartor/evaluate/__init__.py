"""How good a network is."""

from sartor.evaluate.accuracy import Evaluation, evaluate

__all__ = ["Evaluation", "evaluate"]
