"""How one set of weights serves all choices."""

from sartor.elastic.bank import WeightBank
from sartor.elastic.slimmable import SlimmableNetwork
from sartor.elastic.supernet import Supernet

__all__ = ["SlimmableNetwork", "Supernet", "WeightBank"]
