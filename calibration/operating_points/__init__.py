"""Alarm settings chosen by a budget of false alarms on out-of-fold outputs."""
