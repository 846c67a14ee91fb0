"""One module for each data set: its files and labels, as labelled stretches."""

DEFAULT_SETS = ("ptb-xl", "cinc2017", "mitdb")  # the sets that the shipped network was trained on
SET_NAMES = (*DEFAULT_SETS, "cpsc2018", "cinc2020", "cinc2021")
