"""Gradient estimators: bias and variance."""
