"""Variational wave functions by name."""

from nqs_core.ansatze.arnn import ARNN
from nqs_core.ansatze.base import AdditiveUpdates, Ansatz, LocalUpdates
from nqs_core.ansatze.convnext import ConvNeXt
from nqs_core.ansatze.dysonnet import DysonNet
from nqs_core.ansatze.gcnn import GCNN
from nqs_core.ansatze.gru import GRU
from nqs_core.ansatze.jastrow import Jastrow
from nqs_core.ansatze.mlp import MLP
from nqs_core.ansatze.projected import Projected, project
from nqs_core.ansatze.rbm import RBM
from nqs_core.ansatze.rescnn import ResCNN
from nqs_core.ansatze.rwkv7 import RWKV7
from nqs_core.ansatze.sequential import SequentialAnsatz
from nqs_core.ansatze.tokens import Groups
from nqs_core.ansatze.transformer import Transformer
from nqs_core.ansatze.vit import ViT
from nqs_core.config import RunConfig, Spec
from nqs_core.errors import ConfigError
from nqs_core.lattices import AllToAll
from nqs_core.registry import Registry
from nqs_core.sector import Sector

ANSATZE = Registry[Ansatz](
    "ansatz",
    {
        "jastrow": Jastrow,
        "rbm": RBM,
        "mlp": MLP,
        "rescnn": ResCNN,
        "convnext": ConvNeXt,
        "vit": ViT,
        "gcnn": GCNN,
        "dysonnet": DysonNet,
        "arnn": ARNN,
        "gru": GRU,
        "transformer": Transformer,
        "rwkv7": RWKV7,
    },
)


def check_precision(config: RunConfig) -> None:
    """Raises:
    ConfigError: the network of `config` does not offer its precision.
    """
    offered = ANSATZE[config.ansatz.name].precisions
    if config.precision not in offered:
        raise ConfigError(
            f"precision: {config.precision!r} is not offered by the network {config.ansatz.name!r}; "
            f"choose {' or '.join(offered)}"
        )


def on_tokens(spec: Spec, groups: Groups, sz: float | None = None, precision: str = "float32") -> SequentialAnsatz:
    """An autoregressive network on tokens that are no lattice, such as one site of several copies each.

    Args:
        spec: its name and parameters; patch and order do not count.
        groups: the sites of every token, every site from 0 on once.
        sz: total S^z of all sites, or any.
        precision: of its numbers.

    Raises:
        ConfigError: parameters or groups that do not fit, or a network that is not autoregressive.
    """
    n_sites = sum(map(len, groups))
    context = {"lattice": AllToAll(n_sites), "sector": Sector(n_sites, sz), "precision": precision, "tokens": groups}
    if not issubclass(ANSATZE[spec.name], SequentialAnsatz):
        fitting = ", ".join(name for name, cls in ANSATZE.items() if issubclass(cls, SequentialAnsatz))
        raise ConfigError(f"ansatz {spec.name!r} is not autoregressive; those that are: {fitting}")
    ansatz = ANSATZE.build(spec, **context)
    assert isinstance(ansatz, SequentialAnsatz)
    return ansatz


__all__ = [
    "ANSATZE",
    "AdditiveUpdates",
    "Ansatz",
    "LocalUpdates",
    "Projected",
    "SequentialAnsatz",
    "check_precision",
    "on_tokens",
    "project",
]
