"""What a choice costs: factors, costs that follow from the layers, and latencies of devices."""

from sartor.costs.factors import Factor, FactorCost

__all__ = ["Factor", "FactorCost"]
