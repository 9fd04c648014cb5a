"""The way of one build: durable steps over the rooms below. `build` alone knows their order."""
