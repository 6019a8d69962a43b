"""Training: random streams, schedule, optimisers, the step, the loop and its checkpoints."""
