"""How fast it is: ``python -m benchmarks``. Never a test: figures depend on the machine."""
