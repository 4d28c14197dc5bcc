"""What the final measurement and its observables refuse."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nqs_core import driver, problem
from nqs_core.errors import DivergedError, TooLargeError
from tests.nqs_core.systems import config


def test_a_last_update_that_diverges_is_no_result():
    built = problem.build(config())
    state = driver.init(built, 0)
    broken = jax.tree.map(lambda x: x * np.nan, state.params)
    state = state._replace(params=broken, phase=jnp.asarray(driver.MEASURE, jnp.int32))
    with pytest.raises(DivergedError, match="energy became nan"):
        list(driver.run(built, state))


def test_correlations_of_a_huge_lattice_are_refused_before_the_run_starts():
    huge = {"lattice": {"name": "chain", "params": {"length": 20_000}}, "ansatz": {"name": "mlp"}}
    huge |= {"sampler": {"name": "metropolis"}, "optimizer": {"name": "sgd"}}
    with pytest.raises(TooLargeError, match=r"3\.2 GB"):
        problem.build(config(**huge))
    assert problem.build(config(**huge, observables=[])).n_sites == 20_000
