"""The HTTP interface: one line a route, everything else is in the service."""
