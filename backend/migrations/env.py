"""Run by alembic. The connection, already inside a transaction, comes from `backend.store.migrate`."""

from alembic import context

from backend.models import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
