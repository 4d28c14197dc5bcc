"""Update rules. Add a file, then a line here."""

from nqs_core.optimizers.adam import Adam
from nqs_core.optimizers.adamw import AdamW
from nqs_core.optimizers.base import Optimizer
from nqs_core.optimizers.march import March
from nqs_core.optimizers.minsr import MinSR
from nqs_core.optimizers.prox import Prox
from nqs_core.optimizers.pwo import PWO
from nqs_core.optimizers.sgd import SGD
from nqs_core.optimizers.spring import Spring
from nqs_core.optimizers.sr import SR
from nqs_core.registry import Registry

OPTIMIZERS = Registry[Optimizer](
    "optimizer",
    {
        "sgd": SGD,
        "adam": Adam,
        "adamw": AdamW,
        "sr": SR,
        "minsr": MinSR,
        "spring": Spring,
        "march": March,
        "pwo": PWO,
        "prox": Prox,
    },
)
