"""Case (c): J1-J2 on 6x6 at J2 = 0.5, a residual network with 2 blocks of 8 channels, 512 samples, one sweep, minSR."""

EXTENT = 6
N_SITES = EXTENT**2
J1, J2 = 1.0, 0.5
CHANNELS, BLOCKS, KERNEL = 8, 2, 3
N_SAMPLES = 512
LEARNING_RATE = 0.02
DIAG_SHIFT = 1e-3
SEED = 0

# Total energy in units of J1, spin operators: Schulz, Ziman and Poilblanc, J. Phys. I 6, 675 (1996), -0.503810 a site.
EXACT = -0.503809654 * N_SITES
