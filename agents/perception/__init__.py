"""Vision models in the loop: detectors as the observation of an agent, captions below its videos."""
