"""Bundle files: the manifest with its hashes, keys and signatures."""
