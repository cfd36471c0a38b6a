"""Colors of the drawn figures."""

BACKGROUND, INK, QUIET_INK = (24, 26, 31), (222, 226, 230), (150, 156, 164)
