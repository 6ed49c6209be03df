"""The demo: indexes the source files of Python's standard library, and loses a worker on the way.

``python -m asyncqueue demo`` runs it. Nothing else in asyncqueue needs it.
"""
