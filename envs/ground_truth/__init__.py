"""Ground truth of frames: objects with boxes, masks and numbers, from the state, proven against the pixels.

`games/` has one file for each environment; `docs/ground_truth.md` says how to add one.
"""
