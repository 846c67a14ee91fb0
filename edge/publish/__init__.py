"""What subscribers receive, under which topics, and how it gets there."""
