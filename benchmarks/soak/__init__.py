"""Faults for hours: what takes too long for every change, each by one command."""
