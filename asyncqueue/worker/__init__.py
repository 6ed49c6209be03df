"""The worker: it claims jobs, runs them, settles them, and shuts down as promised."""

from asyncqueue.worker.worker import Worker

__all__ = ["Worker"]
