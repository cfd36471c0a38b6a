"""Vision models on the lab's backbones: what is where in a frame, pixel by pixel, and in words."""
