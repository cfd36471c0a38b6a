"""An attention captioner, its metrics and its attention maps."""
