"""FP16 and INT8 graphs of a bundle, with ranges measured on training windows."""
