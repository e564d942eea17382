"""How to choose: the contract, and one file per method."""
