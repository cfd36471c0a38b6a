"""Stable-Baselines3 as the reference; the only folder that imports it."""
