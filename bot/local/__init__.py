"""The stand-ins for what the product talks to: Vers, GitHub, a model. They speak the real protocols and ship with it."""
