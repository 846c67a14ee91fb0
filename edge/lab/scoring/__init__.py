"""How well beats, episodes and alarms fit a reference annotation; NumPy alone."""
