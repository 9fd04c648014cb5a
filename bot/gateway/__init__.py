"""What a machine reaches through us: the model, metered, and the package registries, by name. Nothing else."""
