"""From the probabilities of windows to alarm events; pure and clock-free."""
