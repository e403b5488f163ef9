"""Floor 4, the gate: how an architecture comes in, from YAML, a config, a weight file or the hub."""
