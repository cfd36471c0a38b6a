"""What an agent's learning is made of: gradient estimators and their bias and variance."""
