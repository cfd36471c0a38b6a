"""Shrinking trained agents: teachers, students that play under their eyes, packed policies and the ledger."""
