"""Run folders: files written whole or not at all, checkpoints, provenance, stopping and finite checks."""
