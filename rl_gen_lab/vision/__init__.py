"""Vision models on the lab's backbones: recognition, detection, segmentation, captions."""
