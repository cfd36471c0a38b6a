"""Making things small: entropy coding."""
