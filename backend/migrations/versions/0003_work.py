"""The operations of a step, by which the speed of a device is known from its runs."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("runs", sa.Column("work", sa.JSON(none_as_null=True), nullable=True))
