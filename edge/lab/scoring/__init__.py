"""Beats, episodes and alarms compared with reference annotations."""
