"""Supervised training: the loop, what a task must offer, the tasks by name, loading a trained model."""
