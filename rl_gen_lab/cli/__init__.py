"""Command lines: settings from presets and flags, progress bars, errors in one line."""
