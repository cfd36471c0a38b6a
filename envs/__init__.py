"""Environments: names, the pipeline from emulator to observation, task fingerprints, ground truth, probes. No torch.

A *step* is one decision of an agent; a *frame* is one frame of an emulator; steps x frame_skip = frames. Budgets and
lengths (`total_env_steps`, episode lengths, updates) are counted in steps, summed over all copies of an environment;
only the emulator's own quantities are in frames (`max_episode_frames`, sticky actions, no-ops at the start of a game).
Environments without an emulator have one frame to a step.
"""
