"""Data sets as labelled windows: reading, splitting, caching, augmenting, drawing batches."""
