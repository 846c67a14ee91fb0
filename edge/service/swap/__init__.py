"""How another bundle takes over in a running service: staged, proven, on probation, kept or rolled back."""
