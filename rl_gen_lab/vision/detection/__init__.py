"""Object detectors: one-stage, two-stage and sliding-window, and average precision."""
