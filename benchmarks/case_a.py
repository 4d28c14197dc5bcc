"""Case (a): TFIM chain of 64 at g = 1, real RBM with alpha = 1, 1024 samples, one sweep each, minSR."""

import math

N_SITES = 64
N_SAMPLES = 1024
FIELD = 1.0
LEARNING_RATE = 0.02
DIAG_SHIFT = 1e-3
SEED = 0

# Periodic free fermions at criticality, total energy in units of J: -Σ_n 2 sin((2n + 1) π / 2N) = -2 / sin(π / 2N).
EXACT = -2 / math.sin(math.pi / (2 * N_SITES))
