"""Distributions over architectures that learn: categorical policies, and Adam for their logits. Numpy only."""

from sartor.policy.adam import Adam
from sartor.policy.policy import Policy

__all__ = ["Adam", "Policy"]
