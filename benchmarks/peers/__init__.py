"""asyncqueue beside its peers, on the same servers: ``python -m benchmarks.peers redis``."""
