"""Data sets, label tables, splits, the trainer and its command line."""
