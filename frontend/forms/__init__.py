"""Forms from JSON schemas: schema (fields and values), widgets (one control each), run_form (a whole run)."""

from frontend.forms.run_form import RunForm, split_tags
from frontend.forms.schema import Field, FieldError, field, fields, locate, parse

__all__ = ["Field", "FieldError", "RunForm", "field", "fields", "locate", "parse", "split_tags"]
