"""Runs of several kinds, the system that a run is about, and the run that computed a series."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    # No batch: it would drop and copy the table, and the drop would take along what hangs on the runs.
    op.add_column("runs", sa.Column("kind", sa.String(length=16), server_default="vmc", nullable=False))
    op.add_column("runs", sa.Column("parent", sa.String(length=36), nullable=True))
    op.add_column("runs", sa.Column("system_key", sa.Text(), nullable=True))
    op.add_column("runs", sa.Column("system_sector", sa.String(length=64), nullable=True))
    op.create_index("ix_runs_system", "runs", ["system_key"], unique=False)
    op.create_index("ix_runs_parent", "runs", ["parent"], unique=False)
    with op.batch_alter_table("reference_series") as series:
        series.add_column(sa.Column("run_id", sa.String(length=36), nullable=True))
        series.create_foreign_key(
            op.f("fk_reference_series_run_id_runs"), "runs", ["run_id"], ["id"], ondelete="SET NULL"
        )
