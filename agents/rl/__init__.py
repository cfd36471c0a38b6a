"""Parts of an algorithm, on torch and numpy: they know no run and make no environment."""
