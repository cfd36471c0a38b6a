"""Generators of frames: autoencoders, variational and quantized ones, and the densities that they are compared with."""
