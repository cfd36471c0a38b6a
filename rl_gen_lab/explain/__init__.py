"""Explanations of networks: maps of what matters, scored beside controls that no network made."""
