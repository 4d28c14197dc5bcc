"""Case (d): TFIM chain of 32 at g = 1, autoregressive dense network, 512 samples, Adam."""

import math

N_SITES = 32
N_SAMPLES = 512
FIELD = 1.0
FEATURES, LAYERS = 8, 2  # hidden units of a site and layer; hidden layers
LEARNING_RATE = 1e-2
SEED = 0

# Periodic free fermions at criticality, total energy in units of J: -2 / sin(π / 2N).
EXACT = -2 / math.sin(math.pi / (2 * N_SITES))
