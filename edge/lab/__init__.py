"""What engineers run beside the service: replay, scoring, bench, evidence."""
