"""Observables. Add a file, then a line here."""

from nqs_core.observables.base import Observable
from nqs_core.observables.correlation import Correlation
from nqs_core.observables.magnetisation import Magnetisation
from nqs_core.registry import Registry

OBSERVABLES = Registry[Observable]("observable", {"magnetisation": Magnetisation, "correlation": Correlation})
