"""Signing and encryption of what a store keeps of a job: its envelope and its result."""

from asyncqueue.sealing.keys import encryption_key, signing_key
from asyncqueue.sealing.seal import Seal, explain_sealed, seal_of

__all__ = ["Seal", "encryption_key", "explain_sealed", "seal_of", "signing_key"]
