"""What a frame shows: objects with boxes, masks and numbers, from the world's own state, proven against its pixels.

`games/` has one file a world; `docs/truth.md` says how to add one.
"""
