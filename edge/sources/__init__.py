"""Where samples come from: records, wires, and the synthetic patient."""
