"""Times by what they were spent on, the text that a search looks through, the measurement that leads a run."""

import json

import sqlalchemy as sa
from alembic import op

from backend.store.searching import text

revision = "0004"
down_revision = "0003"
TIMES = ("compile_seconds", "train_seconds", "measure_seconds")


def upgrade() -> None:
    for table in ("runs", "metrics"):
        for name in TIMES:
            op.add_column(table, sa.Column(name, sa.Double(), nullable=True))
    op.add_column("runs", sa.Column("leading", sa.String(length=36), nullable=True))
    op.add_column("runs", sa.Column("search", sa.Text(), nullable=False, server_default=""))
    connection = op.get_bind()
    runs = sa.table("runs", *[sa.column(name) for name in ("id", "name", "notes", "tags", "config", "search")])
    for row in connection.execute(sa.select(*[runs.c[name] for name in ("id", "name", "notes", "tags", "config")])):
        tags, config = (json.loads(value) if isinstance(value, str) else value for value in (row.tags, row.config))
        found = text({"id": row.id, "name": row.name, "notes": row.notes, "tags": tags, "config": config})
        connection.execute(sa.update(runs).where(runs.c.id == row.id).values(search=found))
