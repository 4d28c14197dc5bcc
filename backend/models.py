"""The tables. The database is queue and truth; times are unix seconds, energies are totals in the run's own units.

A run's data is append-only: every metrics row, snapshot and event takes the next `seq` of its run in the transaction
that also moves `runs.last_seq`, so "seq > last seen" is a complete and gap-free catch-up.
"""

import math
from typing import Any

import sqlalchemy as sa

from nqs_core.events import reals

SCHEMA_VERSION = "0005"  # newest file in migrations/versions; a test compares the two

KINDS = ("vmc", "dmrg", "exact", "measure")  # measure: more samples of the run `parent`
STATES = ("queued", "starting", "running", "stopped", "done", "failed")
ACTIVE = ("starting", "running")
TIMES = ("compile_seconds", "train_seconds", "measure_seconds")  # of the run so far
METRICS = (
    "energy",
    "energy_error",
    "energy_per_site",
    "variance",
    "v_score",
    "acceptance",
    "r_hat",
    "tau",
    "ess",
    "jsd",
    "n_samples",
    "step_seconds",
    *TIMES,
)  # scalars with a column of their own; all others go to metrics.extra

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(column_0_label)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)
JSON = sa.JSON(none_as_null=True)


class Real(sa.Double):
    """A double that keeps NaN and infinities; SQLite would store NaN as NULL, here it is the text NaN.

    NaN sorts above all numbers, as in PostgreSQL.
    """

    def bind_processor(self, dialect: sa.Dialect) -> Any:
        """NaN as text on SQLite."""
        return _without_nan if dialect.name == "sqlite" else super().bind_processor(dialect)

    def result_processor(self, dialect: sa.Dialect, coltype: Any) -> Any:
        """A float for the text NaN."""
        return _with_nan if dialect.name == "sqlite" else super().result_processor(dialect, coltype)


def _without_nan(value: Any) -> Any:
    return "NaN" if value is not None and math.isnan(value) else value


def _with_nan(value: Any) -> Any:
    return float(value) if isinstance(value, str) else value


class Reals(sa.TypeDecorator[Any]):
    """JSON that holds numbers, NaN and infinities among them."""

    impl = sa.JSON
    cache_ok = True

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> Any:
        """Floats for the strings that JSON has in their place."""
        return reals(value)


def _run_id() -> sa.Column[str]:
    return sa.Column("run_id", sa.String(36), sa.ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)


def _key(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer, primary_key=True, autoincrement=False)


def _count(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer, nullable=False, server_default="0")


def _reals(*names: str) -> list[sa.Column[Any]]:
    return [sa.Column(name, Real) for name in names]


runs = sa.Table(
    "runs",
    metadata,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("idem_key", sa.String(128), unique=True),
    sa.Column("name", sa.String(200), nullable=False),
    sa.Column("tags", JSON, nullable=False),
    sa.Column("archived", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("notes", sa.Text, nullable=False, server_default=""),
    sa.Column("search", sa.Text, nullable=False, server_default=""),  # what a search looks through, folded
    sa.Column("cloned_from", sa.String(36)),
    sa.Column("kind", sa.String(16), nullable=False, server_default="vmc"),
    sa.Column("parent", sa.String(36)),
    sa.Column("leading", sa.String(36)),  # the measurement whose numbers the run shows; null: its own
    sa.Column("config", JSON, nullable=False),
    sa.Column("system_key", sa.Text),  # canonical key and sector label: which references speak about the run
    sa.Column("system_sector", sa.String(64)),
    sa.Column("n_sites", sa.Integer),
    sa.Column("n_steps", sa.Integer, nullable=False),
    sa.Column("work", JSON),  # operations of a step by kind, as it was planned
    sa.Column("spectrum", JSON),  # lower and upper bound of every energy
    sa.Column("health", JSON),  # as `nqs_core.health` judges what is in the other columns
    sa.Column("reference", JSON),
    sa.Column("reference_energy", sa.Double),  # only where a relative error may be stated: exact or an estimate
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("desired", sa.String(8), nullable=False, server_default="run"),
    sa.Column("priority", sa.Integer, nullable=False, server_default="0"),
    _count("attempt"),
    _count("failures"),  # attempts lost in a row without a newer checkpoint
    sa.Column("max_failures", sa.Integer, nullable=False, server_default="3"),
    sa.Column("claim", sa.String(36)),  # token of the one process that may write
    _count("hb"),
    _count("acked"),  # spool records of the claiming attempt that are in the database
    _count("last_seq"),
    _count("step"),
    _count("checkpoint_step"),
    _count("warnings"),
    sa.Column("phase", sa.String(16)),
    *_reals(*METRICS),
    sa.Column("slot", sa.String(32)),
    sa.Column("host", sa.String(255)),
    sa.Column("pid", sa.Integer),
    sa.Column("device", sa.String(128)),
    sa.Column("versions", JSON),
    sa.Column("result", Reals(none_as_null=True)),
    sa.Column("error", sa.Text),
    sa.Column("created", sa.Double, nullable=False),
    *_reals("started", "ended"),
    sa.CheckConstraint("state in ('queued','starting','running','stopped','done','failed')", name="state"),
    sa.CheckConstraint("desired in ('run','stop')", name="desired"),
    sa.Index("ix_runs_queue", "state", "priority", "created"),
    sa.Index("ix_runs_system", "system_key"),
    sa.Index("ix_runs_parent", "parent"),
)

attempts = sa.Table(
    "attempts",
    metadata,
    _run_id(),
    _key("attempt"),
    sa.Column("start_step", sa.Integer),
    _count("acked"),
    sa.Column("replayed", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("slot", sa.String(32)),
    sa.Column("host", sa.String(255)),
    sa.Column("pid", sa.Integer),
    *_reals("started", "ended"),
    sa.Column("exit", sa.Text),
)

metrics = sa.Table(
    "metrics",
    metadata,
    _run_id(),
    _key("seq"),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("step", sa.Integer, nullable=False),
    sa.Column("phase", sa.String(16), nullable=False),
    sa.Column("t", sa.Double, nullable=False),
    *_reals(*METRICS),
    sa.Column("extra", Reals(none_as_null=True)),
    sa.Column("arrays", Reals(none_as_null=True)),
    sqlite_with_rowid=False,
)

snapshots = sa.Table(
    "snapshots",
    metadata,
    _run_id(),
    _key("seq"),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("step", sa.Integer, nullable=False),
    sa.Column("t", sa.Double, nullable=False),
    sa.Column("n_chains", sa.Integer, nullable=False),
    sa.Column("n_sites", sa.Integer, nullable=False),
    sa.Column("bits", sa.LargeBinary),  # null: thinned out, only the sequence number is kept
    sa.Column("energies", JSON),
    sqlite_with_rowid=False,
)

events = sa.Table(
    "events",
    metadata,
    _run_id(),
    _key("seq"),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("step", sa.Integer),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("t", sa.Double, nullable=False),
    sa.Column("payload", JSON, nullable=False),
    sqlite_with_rowid=False,
)

checkpoints = sa.Table(
    "checkpoints",
    metadata,
    _run_id(),
    _key("step"),
    _key("attempt"),
    sa.Column("path", sa.Text, nullable=False),  # relative to the run's folder
    sa.Column("bytes", sa.BigInteger, nullable=False),
    sa.Column("sha256", sa.String(64), nullable=False),
    sa.Column("t", sa.Double, nullable=False),
)

servers = sa.Table(
    "servers",
    metadata,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("role", sa.String(16), nullable=False),
    sa.Column("host", sa.String(255), nullable=False),
    sa.Column("pid", sa.Integer, nullable=False),
    sa.Column("version", sa.String(32), nullable=False),
    _count("hb"),
    _count("slots"),
    _count("free"),
    sa.Column("device", sa.String(128)),
    sa.Column("started", sa.Double, nullable=False),
    sa.Column("seen", sa.Double, nullable=False),
)

_SYSTEM = ("key", "sector", "level")

reference_energies = sa.Table(
    "reference_energies",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("content_hash", sa.String(64), nullable=False, unique=True),
    sa.Column("origin", sa.String(16), nullable=False),
    sa.Column("run_id", sa.String(36), sa.ForeignKey("runs.id", ondelete="SET NULL")),
    sa.Column("created", sa.Double, nullable=False),
    sa.Column("key", sa.Text, nullable=False),
    sa.Column("hamiltonian", sa.String(64), nullable=False),
    sa.Column("lattice", sa.String(64), nullable=False),
    sa.Column("extent", JSON, nullable=False),
    sa.Column("boundary", sa.String(8), nullable=False),
    sa.Column("n_sites", sa.Integer, nullable=False),
    sa.Column("couplings", JSON, nullable=False),
    sa.Column("sector", sa.String(64), nullable=False),
    sa.Column("level", sa.Integer, nullable=False),
    sa.Column("method", sa.String(64), nullable=False),
    sa.Column("bound", sa.String(16), nullable=False),
    sa.Column("energy", Real, nullable=False),
    sa.Column("energy_per_site", sa.Double, nullable=False),
    *_reals("uncertainty"),
    sa.Column("uncertainty_kind", sa.String(200)),
    *_reals("variance"),
    sa.Column("bond_dimension", sa.Integer),
    *_reals("truncation_error"),
    sa.Column("labels", JSON),
    *[sa.Column(name, sa.Text) for name in ("detail", "source", "url", "licence", "note")],
    sa.CheckConstraint("origin in ('shipped','computed','user')", name="origin"),
    sa.CheckConstraint("bound in ('exact','estimate','upper')", name="bound"),
    sa.Index("ix_reference_energies_system", *_SYSTEM),
)

reference_series = sa.Table(
    "reference_series",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("content_hash", sa.String(64), nullable=False, unique=True),
    sa.Column("origin", sa.String(16), nullable=False),
    sa.Column("run_id", sa.String(36), sa.ForeignKey("runs.id", ondelete="SET NULL")),
    sa.Column("key", sa.Text, nullable=False),
    sa.Column("sector", sa.String(64), nullable=False),
    sa.Column("level", sa.Integer, nullable=False),
    sa.Column("order", sa.String(32), nullable=False),
    *[sa.Column(name, sa.Integer, nullable=False) for name in ("mpo_dimension", "chi", "chi_used")],
    sa.Column("energy", Real, nullable=False),
    *_reals("truncation_error", "variance", "max_entropy"),
    sa.Column("sweeps", sa.Integer),
    sa.Column("converged", sa.Boolean),
    *_reals("cpu_seconds", "wall_seconds"),
    sa.Column("source", sa.Text),
    sa.CheckConstraint("origin in ('shipped','computed','user')", name="origin"),
    sa.Index("ix_reference_series_system", *_SYSTEM),
)
