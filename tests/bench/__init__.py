"""Benchmarks: what whole processes cost in seconds and memory, printed. Neither tests nor part of the product."""
