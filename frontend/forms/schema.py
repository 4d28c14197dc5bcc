"""A component's JSON schema as a list of fields, and typed text as values. Knows no widget."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["int", "float", "bool", "choice", "text", "ints", "floats", "flags", "json", "spec"]
LISTS: Mapping[str, Kind] = {"integer": "ints", "number": "floats"}
SCALARS: Mapping[str, Kind] = {"integer": "int", "number": "float", "boolean": "bool", "string": "text"}


class FieldError(ValueError):
    """What is typed is no value of the field; the message is for the person who typed it."""


@dataclass(frozen=True)
class Variant:
    """One component that a field of kind "spec" may hold; `name` is empty for a bare number."""

    name: str
    summary: str
    fields: "tuple[Field, ...]"


@dataclass(frozen=True)
class Field:
    """One parameter: what it is called, what it means, which values it takes."""

    name: str
    title: str
    kind: Kind
    help: str = ""
    unit: str = ""
    default: Any = None
    optional: bool = False
    required: bool = False
    minimum: float | None = None
    maximum: float | None = None
    above: float | None = None
    below: float | None = None
    max_length: int | None = None
    choices: tuple[Any, ...] = ()
    variants: "tuple[Variant, ...]" = ()

    @property
    def label(self) -> str:
        """The title with its unit, unless the title says it already."""
        said = not self.unit or self.unit.lower() in self.title.lower()
        return self.title if said else f"{self.title} ({self.unit})"

    @property
    def lines(self) -> bool:
        """Is the text one of several lines? Those get lost in a field of one line."""
        return self.kind == "text" and "\n" in str(self.default or "")

    @property
    def range(self) -> str:
        """The allowed values in words; empty where everything of the kind is allowed."""
        low = f"≥ {_number(self.minimum)}" if self.minimum is not None else ""
        low = f"> {_number(self.above)}" if self.above is not None else low
        high = f"≤ {_number(self.maximum)}" if self.maximum is not None else ""
        high = f"< {_number(self.below)}" if self.below is not None else high
        if self.minimum is not None and self.maximum is not None and self.above is None and self.below is None:
            return f"{_number(self.minimum)} … {_number(self.maximum)}"
        return " and ".join(filter(None, (low, high)))

    @property
    def tooltip(self) -> str:
        """Meaning, range and default in one short text."""
        parts = [self.help.rstrip("."), f"Range {self.range}" if self.range else ""]
        if self.default is not None and self.kind not in ("bool", "spec") and not self.lines:
            parts.append(f"Default {show(self, self.default)}")
        return ". ".join(filter(None, parts)) + "."


def _number(value: float | None) -> str:
    if value is None:
        return ""
    if isinstance(value, int) or (float(value).is_integer() and abs(value) < 1e7):
        return f"{int(value):,}".replace(",", "\u202f") if abs(value) >= 1e4 else str(int(value))
    return f"{value:.12g}"


def _resolve(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Mapping[str, Any]:
    """Follow `$ref` and single `allOf`, the keys next to them win."""
    for key in ("$ref", "allOf"):
        if key in schema:
            target: Any = root
            if key == "$ref":
                for part in schema[key].lstrip("#/").split("/"):
                    target = target[part]
            else:
                target = schema[key][0]
            return {**_resolve(target, root), **{k: v for k, v in schema.items() if k != key}}
    return schema


def _item_kind(schema: Mapping[str, Any]) -> str | None:
    items = schema.get("items") or next(iter(schema.get("prefixItems") or ()), {})
    return items.get("type") if isinstance(items, Mapping) else None


def _kind(schema: Mapping[str, Any], members: list[Mapping[str, Any]]) -> Kind:
    if "enum" in schema or "const" in schema:
        return "choice"
    types = {m.get("type") for m in members}
    if any(m.get("type") == "array" and _item_kind(m) == "boolean" for m in members):
        return "flags"
    if len(members) == 1 and types == {"array"}:
        return LISTS.get(_item_kind(members[0]) or "", "json")
    if types == {"integer", "number"}:
        return "float"
    return SCALARS.get(str(members[0].get("type")), "json") if len(members) == 1 else "json"


def field(name: str, schema: Mapping[str, Any], root: Mapping[str, Any] | None = None, required: bool = False) -> Field:
    """One property of an object schema. What no widget fits is edited as JSON, so that every schema has a form."""
    schema = _resolve(schema, root or schema)
    if "family" in schema:
        return _spec(name, schema, required)
    members = [_resolve(m, root or schema) for m in schema.get("anyOf") or schema.get("oneOf") or [schema]]
    optional = any(m.get("type") == "null" for m in members)
    members = [m for m in members if m.get("type") != "null"] or [schema]
    one = (
        {**members[0], **{k: v for k, v in schema.items() if k not in ("anyOf", "oneOf")}}
        if len(members) == 1
        else schema
    )
    choices = tuple(one.get("enum") or ([one["const"]] if "const" in one else ()))
    return Field(
        name=name,
        title=str(schema.get("title") or name),
        kind=_kind(one, members),
        help=str(schema.get("description") or ""),
        unit=str(schema.get("unit") or ""),
        default=schema.get("default"),
        optional=optional,
        required=required,
        minimum=one.get("minimum"),
        maximum=one.get("maximum"),
        above=one.get("exclusiveMinimum"),
        below=one.get("exclusiveMaximum"),
        max_length=one.get("maxLength"),
        choices=choices,
    )


def _spec(name: str, schema: Mapping[str, Any], required: bool) -> Field:
    """A component of a family as a parameter; its variants in the order of the schema."""
    members: list[Mapping[str, Any]] = [m for m in schema["anyOf"] if m.get("type") != "null"]
    variants = []
    for member in members:
        if member["type"] == "number":
            number = field(name, {**member, "title": "Value", "description": schema.get("description", "")})
            variants.append(Variant("", "The same value at every step", (number,)))
        else:
            component = member["properties"]["name"]["const"]
            inner = tuple(fields(member["properties"]["params"]))
            variants.append(Variant(component, str(member.get("description", "")), inner))
    return Field(
        name=name,
        title=str(schema.get("title") or name),
        kind="spec",
        help=str(schema.get("description") or ""),
        unit=str(schema.get("unit") or ""),
        default=schema.get("default"),
        optional=len(members) < len(schema["anyOf"]),
        required=required,
        variants=tuple(variants),
    )


def fields(schema: Mapping[str, Any]) -> list[Field]:
    """The properties of an object schema in their order."""
    needed = set(schema.get("required") or ())
    return [field(name, prop, schema, name in needed) for name, prop in (schema.get("properties") or {}).items()]


def show(spec: Field, value: Any) -> str:
    """A value as one would type it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)) and spec.kind != "json":
        return ", ".join(show(spec, v) for v in value)
    if isinstance(value, float):
        return f"{value:.12g}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _integer(text: str) -> int:
    try:
        return int(text.replace("_", ""))
    except ValueError:
        raise FieldError(f"A whole number is needed, not {text[:20]!r}") from None


def _real(text: str) -> float:
    try:
        value = float(text.replace(",", ".").replace("−", "-"))
    except ValueError:
        raise FieldError(f"A number is needed, not {text[:20]!r}") from None
    if value != value or value in (float("inf"), float("-inf")):
        raise FieldError("A finite number is needed")
    return value


def _list(text: str, one: Any) -> list[Any]:
    parts = [p for p in re.split(r"[,;×x\s]+", text.strip("[]() ")) if p]
    if not parts:
        raise FieldError("At least one number is needed")
    return [one(p) for p in parts]


def _check(spec: Field, value: float) -> None:
    low, high = spec.minimum, spec.maximum
    outside = (low is not None and value < low) or (high is not None and value > high)
    outside |= (spec.above is not None and value <= spec.above) or (spec.below is not None and value >= spec.below)
    if outside:
        raise FieldError(f"Must be {spec.range}")


def parse(spec: Field, text: Any) -> Any:
    """The value that `text` (or an already typed value) stands for.

    Raises:
        FieldError: nothing of the field's kind, or out of its range.
    """
    if not isinstance(text, str):
        return text
    text = text.strip()
    if not text and spec.kind != "text":
        if spec.optional:
            return None
        raise FieldError("A value is needed")
    if spec.kind in ("int", "float"):
        value = _integer(text) if spec.kind == "int" else _real(text)
        _check(spec, value)
        return value
    if spec.kind in ("ints", "floats"):
        return _list(text, _integer if spec.kind == "ints" else _real)
    if spec.kind == "json":
        try:
            return json.loads(text)
        except ValueError:
            return text
    if spec.max_length is not None and len(text) > spec.max_length:
        raise FieldError(f"At most {spec.max_length} characters")
    return text


PROBLEM = re.compile(
    r"^(?P<family>\w+) '(?P<name>[^']*)': (?P<field>[\w.]+): (?P<what>.*?)(?: \(given: .*)?(?:; parameters: .*)?$"
)

SIMPLE = re.compile(r"^(?P<field>[a-z_]+(?:\.[a-z_]+)?): (?P<what>.*?)(?: \(given: .*)?$")
COMPONENT = re.compile(r"^(?P<family>lattice|hamiltonian|ansatz|sampler|optimizer) '[^']*'(?:: | )(?P<what>.*)$")
SECTOR = re.compile(r"^(?P<field>sector\.\w+) = (?P<what>.*)$", re.DOTALL)


def locate(detail: str, problems: tuple[tuple[str, str], ...] = ()) -> dict[str, str]:
    """Which fields a refusal names: `family.parameter`, `family` or a key of the configuration -> what is wrong."""
    found: dict[str, str] = {}
    for where, what in problems:
        parts = [p for p in where.split(".") if p not in ("body", "params")]
        if parts:
            found[".".join(parts)] = what
    if match := PROBLEM.match(detail):
        found[f"{match['family']}.{match['field'].replace('.params.', '.')}"] = match["what"]
    elif not found and (match := SECTOR.match(detail) or SIMPLE.match(detail)):
        found[match["field"]] = match["what"]
    elif not found and (match := COMPONENT.match(detail)):
        found[match["family"]] = match["what"]
    return found
