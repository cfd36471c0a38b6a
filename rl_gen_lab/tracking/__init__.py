"""Metrics to the local record and to Weights & Biases."""
