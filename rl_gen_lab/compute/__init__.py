"""Devices, memory, seeds and optimizers."""
