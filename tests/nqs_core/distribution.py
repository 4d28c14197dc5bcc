"""Do samples follow |ψ|²?"""

import numpy as np
from scipy.stats import chisquare

from nqs_core.samplers.exact import basis_index, probabilities


def chi_square_p(sigma, log_psi, sector):
    """p-value of Pearson's test of independent configurations against |ψ|²; rare states count as one."""
    p = np.asarray(probabilities(log_psi))
    counts = np.bincount(np.asarray(basis_index(sigma, sector)), minlength=len(p))
    expected = p * len(sigma)
    rare = expected < 5
    if expected[rare].sum() < 5:  # too few even together: join the most frequent state
        rare |= expected == expected.max()
    counts = np.append(counts[~rare], counts[rare].sum())
    expected = np.append(expected[~rare], expected[rare].sum())
    return chisquare(counts, expected).pvalue
