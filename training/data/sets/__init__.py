"""One module for each data set: what its files mean, as labelled windows."""
