"""Explanations of networks: maps of what matters, scored beside controls that no network made.

`python -m rl_gen_lab.explain` explains vision models, `python -m agents.explain` agents.
"""


def main(argv: list[str] | None = None) -> None:
    """Run the command `python -m rl_gen_lab.explain`."""
    from rl_gen_lab.explain import __main__ as command  # here: whoever imports a part of the folder needs no command

    command.main(argv)
