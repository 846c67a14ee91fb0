"""Where samples come from: records, wires, and the synthetic scenario."""

from edge.sources.config import open_source

__all__ = ["open_source"]
