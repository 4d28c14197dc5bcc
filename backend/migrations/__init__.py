"""One file per change of the schema; `backend.store.migrate` applies them."""
