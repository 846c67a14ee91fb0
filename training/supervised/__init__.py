"""Training on labelled windows, and its cross-validation."""
