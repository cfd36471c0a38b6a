"""RL algorithms, and every command that joins environments (`envs`) and models (`rl_gen_lab`). Imports nothing.

One file is one agent and stands on its own: `python -m agents.dqn`, `reinforce`, `actor_critic`, `ppo`. Commands over
finished runs: `agents.play`, `agents.compare`; `agents.variance` measures gradients.
"""
