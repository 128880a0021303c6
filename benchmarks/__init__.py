"""Speed and memory, each beside its peer, in one run on one machine: `make bench`."""
