"""How long work reports what it does to its caller."""

from collections.abc import Callable

ReportProgress = Callable[[str, int, int], None]  # what is being done, how many are done, of how many
ReportLine = Callable[[str], None]  # one line for the user


def no_progress(description: str, done: int, total: int) -> None:
    """Report nothing."""
