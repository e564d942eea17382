"""How long the networks of a space take on a device: what to measure, measuring it, and what follows for the rest."""
