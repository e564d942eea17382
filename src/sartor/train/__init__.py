"""How weights are trained: passes, optimiser, the resumable loop, and the three ways of training."""
