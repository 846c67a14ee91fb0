"""What every room stands on: samples, leads, errors, files."""
