"""From samples to windows: resampling, conditioning, quality, beats, account; pure and clock-free."""
