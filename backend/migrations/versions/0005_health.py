"""The judgement of a run, and the bounds of its spectrum that it is made from."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    for name in ("health", "spectrum"):
        op.add_column("runs", sa.Column(name, sa.JSON(none_as_null=True), nullable=True))
