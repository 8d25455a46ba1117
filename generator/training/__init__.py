"""Networks in PyTorch, images, and how the networks are trained on them."""
