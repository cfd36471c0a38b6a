"""Classic features and classifiers: what vision was before networks learned their own features."""
