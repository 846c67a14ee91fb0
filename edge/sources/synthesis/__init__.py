"""The parts of the synthetic patient: its rhythms, how its heart looks in the leads, and noise."""
