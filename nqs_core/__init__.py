"""Variational Monte Carlo with neural quantum states.

Imports nothing, so that `nqs_core.config` and `nqs_core.events` stay free of JAX.
"""
