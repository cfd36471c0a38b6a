"""One training run: its command line, environments, evaluations, checkpoints, record and video."""
