"""Measurements that are too slow and too noisy for tests; `make bench` runs them and judges the targets."""
