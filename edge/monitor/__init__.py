"""One stream put together, and all streams: intake, classifier thread, shedding."""
