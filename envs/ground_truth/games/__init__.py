"""One file a world, named like the world (`space_invaders` for SpaceInvaders), each with a `GAME`."""
