"""Training in several processes that `torchrun` starts: data, tensor, pipeline and spatial parallel."""
