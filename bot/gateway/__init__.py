"""What a machine may reach: the model, metered, and the package registries, by name. Nothing else."""
