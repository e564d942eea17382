"""What a choice costs: factors, analytic costs and (later) latency tables."""

from sartor.costs.factors import Factor, FactorCost

__all__ = ["Factor", "FactorCost"]
