"""`swarm-bot bench`: how long things take, measured on the stand-ins, beside one agent alone and the guide's way."""
