"""Name -> class, spelled out in each package's `__init__.py`; the dataclass fields are the schema."""

import dataclasses
import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, Generic, TypeVar, dataclass_transform, get_origin

import jax
import pydantic

from nqs_core.config import Spec, explain, nested
from nqs_core.errors import ConfigError
from nqs_core.types import Coupling

T = TypeVar("T")


def param(
    default: Any = dataclasses.MISSING,
    *,
    help: str,
    unit: str = "",
    title: str = "",
    limits: Mapping[str, int] | None = None,
    family: "Registry[Any] | None" = None,
    **bounds: Any,
) -> Any:
    """A user's parameter of a component: help, unit and bounds (`ge`, `gt`, `le`, `lt`, `min_length`, ...).

    `limits`: what the component checks itself, for the schema.
    `family`: the parameter is the spec of a component of this registry, `{"name": ..., "params": {...}}`, and the field
    holds what is built from it; `default` is such a spec, or None, or a number where the family takes numbers, whose
    `bounds` are those of that number.
    """
    extra = ({"unit": unit} if unit else {}) | dict(limits or {})
    meta = {"description": help, "extra": extra, "title": title, "bounds": bounds, "family": family}
    return dataclasses.field(default=default, metadata={"param": meta})


def context(default: Any = dataclasses.MISSING, *, traced: bool = False) -> Any:
    """A field that `problem.build` fills (lattice, sector, precision, ...): no user's parameter.

    `traced`: a component whose couplings stay traced, such as the Hamiltonian.
    """
    return dataclasses.field(default=default, kw_only=True, repr=False, metadata={"traced": traced})


@dataclass_transform(frozen_default=True, field_specifiers=(param, context, dataclasses.field))
def component(cls: type[T]) -> type[T]:
    """A frozen dataclass and pytree.

    Fields of type `Coupling`, components that are parameters, and traced context are children, all others static.
    """
    cls = dataclasses.dataclass(frozen=True)(cls)
    fields = dataclasses.fields(cls)  # type: ignore[arg-type]
    traced = [f.name for f in fields if f.type is Coupling or f.metadata.get("traced") or _family(f)]
    static = [f.name for f in fields if f.name not in traced]

    def flatten(instance: Any) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        return tuple(getattr(instance, name) for name in traced), tuple(getattr(instance, name) for name in static)

    def flatten_with_keys(instance: Any) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        children, meta = flatten(instance)
        return tuple((jax.tree_util.GetAttrKey(name), v) for name, v in zip(traced, children, strict=True)), meta

    def unflatten(meta: tuple[Any, ...], children: Any) -> T:
        return cls(**dict(zip(traced, children, strict=True)), **dict(zip(static, meta, strict=True)))

    # `jax.tree_util.register_dataclass` will not do: jaxlib 0.10.2 takes the structures of two classes for equal if
    # their static fields are, and `jax.jit` then now and then gives one of them the compiled function of the other.
    jax.tree_util.register_pytree_with_keys(cls, flatten_with_keys, unflatten, flatten)
    return cls


def _family(field: dataclasses.Field[Any]) -> "Registry[Any] | None":
    """The registry whose specs the field takes."""
    return field.metadata.get("param", {}).get("family")


def _as_tuple(value: Any) -> Any:
    return tuple(_as_tuple(v) for v in value) if isinstance(value, list) else value


def _annotation(field: dataclasses.Field[Any]) -> Any:
    if (family := _family(field)) is not None:
        return family.annotation(field.metadata["param"]["bounds"], optional=field.default is None)
    kind: Any = float if field.type is Coupling else field.type
    members = getattr(kind, "__args__", ()) if get_origin(kind) is not tuple else (kind,)
    if any(get_origin(k) is tuple for k in (kind, *members)):
        return Annotated[kind, pydantic.BeforeValidator(_as_tuple)]  # JSON has lists only
    return kind


_RULES = pydantic.ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, frozen=True)


def _bounded(bounds: Mapping[str, Any]) -> Any:
    return Annotated[float, pydantic.Field(**bounds)]


def _checked(validate: Callable[[], Any], *above: str) -> Any:
    try:
        return validate()
    except pydantic.ValidationError as error:
        raise nested(error.errors(include_url=False), *above) from None


def _own_first(cls: type[Any]) -> list[dataclasses.Field[Any]]:
    """The fields of a component, those that it shares with others at the end."""
    return sorted(dataclasses.fields(cls), key=lambda f: f.name not in inspect.get_annotations(cls))


class Registry(Mapping[str, type[T]], Generic[T]):
    """The components of one family by name.

    Args:
        family: what they are.
        classes: by their names.
        number: the component that a bare number stands for where a spec is a parameter, as its parameter `value`.

    Raises:
        ValueError: a class is registered twice.
    """

    def __init__(self, family: str, classes: Mapping[str, type[T]], number: str = "") -> None:
        self.family = family
        self.number = number
        self._classes = dict(classes)
        self._models: dict[str, type[pydantic.BaseModel]] = {}
        if len(set(self._classes.values())) != len(self._classes):
            raise ValueError(f"{family}: a class is registered twice")

    def __getitem__(self, name: str) -> type[T]:
        if name not in self._classes:
            raise ConfigError(f"unknown {self.family} {name!r}; choose one of {', '.join(sorted(self._classes))}")
        return self._classes[name]

    def __contains__(self, name: object) -> bool:
        return name in self._classes

    def __iter__(self) -> Iterator[str]:
        return iter(self._classes)

    def __len__(self) -> int:
        return len(self._classes)

    def model(self, name: str) -> type[pydantic.BaseModel]:
        """The parameters of `name` as a strict pydantic model."""
        if name not in self._models:
            fields: dict[str, Any] = {}
            for f in _own_first(self[name]):
                if (meta := f.metadata.get("param")) is None:
                    continue
                family = meta["family"]
                default: Any = ... if f.default is dataclasses.MISSING else f.default
                if family is not None and default not in (..., None):
                    default = family.filled(default, meta["bounds"])
                bounds: dict[str, Any] = {} if family is not None else meta["bounds"]
                info = pydantic.Field(
                    default,
                    title=meta["title"] or f.name,
                    description=meta["description"],
                    json_schema_extra=meta["extra"] or None,
                    **bounds,
                )
                fields[f.name] = (_annotation(f), info)
            self._models[name] = pydantic.create_model(name, __config__=_RULES, **fields)
        return self._models[name]

    def params(self, spec: Spec) -> dict[str, Any]:
        """The validated parameters of `spec`, defaults filled in.

        Raises:
            ConfigError: unknown name, unknown parameter, or a value out of its range.
        """
        try:
            return dict(self.model(spec.name).model_validate(spec.params))
        except pydantic.ValidationError as error:
            allowed = ", ".join(self.model(spec.name).model_fields) or "none"
            raise ConfigError(f"{explain(error, f'{self.family} {spec.name!r}: ')}; parameters: {allowed}") from None

    def annotation(self, bounds: Mapping[str, Any], optional: bool) -> Any:
        """The type of a parameter that is a spec of this family, or None where `optional`, for pydantic."""
        schema: dict[str, Any] = {"family": self.family, "anyOf": [self._schema(name) for name in self]}
        if self.number:
            schema["number"] = self.number
            schema["anyOf"].insert(0, pydantic.TypeAdapter(_bounded(bounds)).json_schema())
        if optional:
            schema["anyOf"].append({"type": "null"})
        check = pydantic.PlainValidator(lambda v: None if optional and v is None else self.filled(v, bounds))
        return Annotated[Any, check, pydantic.WithJsonSchema(schema)]

    def filled(self, value: Any, bounds: Mapping[str, Any]) -> Any:
        """A spec as JSON with its defaults, or the bare number, of a parameter of this family.

        Raises:
            PydanticCustomError: it is neither; `config.expanded` says where.
        """
        if self.number and not isinstance(value, Mapping | Spec):
            return _checked(lambda: pydantic.TypeAdapter(_bounded(bounds), config=_RULES).validate_python(value))
        spec = value if isinstance(value, Spec) else _checked(lambda: Spec.model_validate(value))
        if spec.name not in self:
            names = ", ".join(sorted(self))
            what = {"type": "unknown", "loc": ("name",), "msg": f"choose one of {names}", "input": spec.name}
            raise nested([what])
        params = _checked(lambda: self.model(spec.name).model_validate(spec.params), "params")
        return {"name": spec.name, "params": dict(params)}

    def _schema(self, name: str) -> dict[str, Any]:
        doc = inspect.cleandoc(self[name].__doc__ or "")
        return {
            "type": "object",
            "title": name,
            "description": doc.splitlines()[0] if doc else "",
            "properties": {"name": {"const": name}, "params": self.model(name).model_json_schema()},
            "required": ["name"],
            "additionalProperties": False,
        }

    def build(self, spec: Spec, **context: Any) -> T:
        """Instantiate `spec` and the specs in it; of `context`, each class gets the fields that it declares."""
        cls, params = self[spec.name], self.params(spec)
        fields: dict[str, Any] = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
        for name, value in params.items():
            if (family := _family(fields[name])) is not None and value is not None:
                inner = value if isinstance(value, dict) else {"name": family.number, "params": {"value": value}}
                params[name] = family.build(Spec(**inner), **context)
        return cls(**params, **{k: v for k, v in context.items() if k in fields})

    def catalog(self) -> dict[str, dict[str, Any]]:
        """For every component: its docstring, its LaTeX formula if it has one, its parameters as JSON schema."""
        out = {}
        for name in self:
            doc = inspect.cleandoc(self[name].__doc__ or "")
            out[name] = {
                "summary": doc.splitlines()[0] if doc else "",
                "doc": doc,
                "formula": getattr(self[name], "formula", None),
                "schema": self.model(name).model_json_schema(),
            }
        return out
