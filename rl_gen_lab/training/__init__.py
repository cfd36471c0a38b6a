"""Supervised training: the loop, the interface of a task, the tasks by name, loading a trained model."""
