"""Worlds: names, the pipeline from emulator to observation, task fingerprints, worlds with known answers. No torch.

A *step* is one decision of an agent; a *frame* is one frame of an emulator; steps x frame_skip = frames. Whatever is
counted or paid for here (`total_env_steps`, episode lengths, updates) is counted in steps, over all copies of a world;
only what the emulator itself counts is in frames (`max_episode_frames`, sticky actions, no-ops at the start of a game).
Worlds that are no emulators have one frame to a step.
"""
