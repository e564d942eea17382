"""MSDNet, the baseline of any-time prediction (Huang et al., ICLR 2018, arXiv 1703.09844)."""

from sartor.spaces.msdnet.network import closest_msdnet, msdnet

__all__ = ["closest_msdnet", "msdnet"]
