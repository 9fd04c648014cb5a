"""Swarm Build: a GitHub App that turns a labelled issue into a pull request with a live preview."""
