"""Floor 3, what it costs: workloads, optimizers, adapters, activations, memory plans, sharding, devices, fit and budgets."""
