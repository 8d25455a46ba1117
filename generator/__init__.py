"""Sample, train and pack populations of networks. `spaces` and `complexity` need numpy only; the rest needs torch."""
