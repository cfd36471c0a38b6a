"""Vision models in the loop: detectors as an agent's observation, captions under a video."""
