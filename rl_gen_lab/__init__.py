"""Models, and the infrastructure of an experiment: configuration, run folders, tracking, seeds, devices.

The letters of tensor shapes, used in every docstring of this checkout:

    B batch            A actions          K classes
    T time             D features         M boxes
    N environments     Z latent           L caption tokens
    C channels         H height           W width

Time in formulas: `_tm1` is before the action, `_t` after it. Frames are uint8 and channels first until a
backbone scales them. A *step* is one decision of an agent, a *frame* one frame of an emulator.
"""
