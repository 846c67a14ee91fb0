"""All streams put together: intake, classifier thread, model switch, shedding and the account."""
