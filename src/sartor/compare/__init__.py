"""Methods beside random search at equal cost: on tables of trained architectures, whose truth is known."""
