"""Coding agents on machines: pi's protocol, its daemon, the golden image, and the swarm whose tools we execute."""
