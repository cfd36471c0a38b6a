"""Image captions: a captioner with attention, its decoding, its metrics and its attention maps."""
