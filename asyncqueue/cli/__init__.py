"""The command line. It starts in :mod:`asyncqueue.__main__`; one duty per file."""
