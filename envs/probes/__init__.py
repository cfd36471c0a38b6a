"""Probe environments, whose optimal values and policies are known on paper."""
