"""The bundle: manifest, hashes, signature, golden data."""
