"""A fuzzer for all that reads files: `python -m tests.fuzz [KIND…] --seconds N`."""
