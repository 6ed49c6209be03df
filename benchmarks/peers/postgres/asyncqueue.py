"""asyncqueue: claims and settlements in batches over partial indexes."""

from benchmarks.peers.own import fill, prepare, producer, work

__all__ = ["fill", "prepare", "producer", "work"]
