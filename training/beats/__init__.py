"""Training of the networks that judge beats, with beats described by the device's own code."""
