"""The local Vers: the Vers REST protocol and TLS front over really isolated Linux machines on this host.

`server.start` runs it. What it does not do as the real thing does: a commit holds the disk, but no memory and no processes
(a clone boots); all machines share this host's kernel, so it is a development stand-in and no security boundary; no machine
has a route out; sizes of disks and numbers of cpus are remembered, not enforced; images cannot be uploaded.
"""
