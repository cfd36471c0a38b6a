"""Recognition: the categories that an image shows, and the box of one object."""
