"""Machines: the provider's API (`vers`), the encrypted line to one of them (`ssh`), and the ports both implement (`base`)."""
