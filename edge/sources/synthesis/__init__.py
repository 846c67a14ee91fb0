"""The parts of the synthetic patient: what its rhythms are, how its heart looks in the leads, what disturbs them."""
