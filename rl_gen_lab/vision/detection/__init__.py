"""Object detection: one-stage and two-stage detectors, from sliding windows to Mask R-CNN."""
