"""One file for each environment, named like it (`space_invaders` for SpaceInvaders), with a `GAME`."""
