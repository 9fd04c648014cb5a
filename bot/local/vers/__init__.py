"""The local Vers: the Vers REST protocol and TLS front over really isolated Linux machines on this host.

`server.start` runs it. Differences from the real thing: a commit holds the disk but no memory or processes, all machines
share this host's kernel (a development stand-in, no security boundary), and no machine has a route out.
"""
