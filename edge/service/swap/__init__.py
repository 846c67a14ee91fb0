"""How a new bundle takes over in a running service: staged, tried, on probation, then accepted or rolled back."""
