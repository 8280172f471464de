"""Training of CenterPoint: the network in PyTorch, its targets and losses, and the stream of simulated frames."""
