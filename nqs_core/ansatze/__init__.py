"""Variational wave functions by name."""

from nqs_core.ansatze.arnn import ARNN
from nqs_core.ansatze.base import AdditiveUpdates, Ansatz, LocalUpdates
from nqs_core.ansatze.convnext import ConvNeXt
from nqs_core.ansatze.dysonnet import DysonNet
from nqs_core.ansatze.gcnn import GCNN
from nqs_core.ansatze.jastrow import Jastrow
from nqs_core.ansatze.mlp import MLP
from nqs_core.ansatze.projected import Projected, project
from nqs_core.ansatze.rbm import RBM
from nqs_core.ansatze.rescnn import ResCNN
from nqs_core.ansatze.sequential import SequentialAnsatz
from nqs_core.ansatze.vit import ViT
from nqs_core.registry import Registry

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
    },
)

__all__ = ["ANSATZE", "AdditiveUpdates", "Ansatz", "LocalUpdates", "Projected", "SequentialAnsatz", "project"]
