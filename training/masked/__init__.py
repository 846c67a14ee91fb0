"""Pretraining without labels, by a masked autoencoder."""
