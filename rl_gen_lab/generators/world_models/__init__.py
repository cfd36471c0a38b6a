"""Models of a world: the next frame, the reward and the end of the game, from the frames before and the action."""
