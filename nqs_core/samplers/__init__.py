"""Ways to draw configurations, by name."""

from nqs_core.registry import Registry
from nqs_core.samplers.autoregressive import Autoregressive
from nqs_core.samplers.base import Sampler, SamplerState, Samples
from nqs_core.samplers.exact import Exact
from nqs_core.samplers.metropolis import Metropolis
from nqs_core.samplers.nir import NeuralImportanceResampling
from nqs_core.samplers.sublattice import Sublattice
from nqs_core.samplers.typewriter import Typewriter

SAMPLERS = Registry[Sampler](
    "sampler",
    {
        "metropolis": Metropolis,
        "sublattice": Sublattice,
        "typewriter": Typewriter,
        "autoregressive": Autoregressive,
        "exact": Exact,
        "nir": NeuralImportanceResampling,
    },
)

__all__ = ["SAMPLERS", "Sampler", "SamplerState", "Samples"]
