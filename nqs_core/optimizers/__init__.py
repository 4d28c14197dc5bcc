"""Update rules. Add a file, then a line here."""

from nqs_core.optimizers.adam import Adam
from nqs_core.optimizers.base import Optimizer
from nqs_core.optimizers.minsr import MinSR
from nqs_core.optimizers.sgd import SGD
from nqs_core.registry import Registry

OPTIMIZERS = Registry[Optimizer]("optimizer", {"sgd": SGD, "adam": Adam, "minsr": MinSR})
