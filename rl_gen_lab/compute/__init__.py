"""Devices, memory, seeds and optimisers."""
