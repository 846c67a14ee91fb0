"""Scoring of a bundle on data sets, with the device's own preprocessing; one module a data set."""
