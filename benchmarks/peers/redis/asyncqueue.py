"""asyncqueue: lists and scripts, claims and settlements in batches, one connection."""

from benchmarks.peers.own import fill, prepare, producer, work

__all__ = ["fill", "prepare", "producer", "work"]
