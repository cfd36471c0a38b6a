"""Pictures that are made by searching: textures, styles, what excites a unit, dreams, inverted features.

No network here has pretrained weights: filters are random, means of patches, or trained by this project.
"""
