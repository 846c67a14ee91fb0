"""Pure, clock-free steps from samples to windows: resampling, windowing, conditioning, accounting."""
