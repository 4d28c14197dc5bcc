"""Name -> class, spelled out in each package's `__init__.py`; the dataclass fields are the schema."""

import dataclasses
import inspect
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Generic, TypeVar, dataclass_transform, get_origin

import jax
import pydantic

from nqs_core.config import Spec, explain
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
    **bounds: Any,
) -> Any:
    """A user's parameter of a component: help, unit and bounds (`ge`, `gt`, `le`, `lt`, `min_length`, ...).

    `limits`: what the component checks itself, for the schema.
    """
    extra = ({"unit": unit} if unit else {}) | dict(limits or {})
    return dataclasses.field(
        default=default, metadata={"param": {"description": help, "extra": extra, "title": title, "bounds": bounds}}
    )


def context(default: Any = dataclasses.MISSING, *, traced: bool = False) -> Any:
    """A field that `problem.build` fills (lattice, sector, precision, ...): no user's parameter.

    `traced`: a component whose couplings stay traced, such as the Hamiltonian.
    """
    return dataclasses.field(default=default, kw_only=True, repr=False, metadata={"traced": traced})


@dataclass_transform(frozen_default=True, field_specifiers=(param, context, dataclasses.field))
def component(cls: type[T]) -> type[T]:
    """A frozen dataclass and pytree: fields of type `Coupling` and traced context are children, all others static."""
    cls = dataclasses.dataclass(frozen=True)(cls)
    fields = dataclasses.fields(cls)  # type: ignore[arg-type]
    traced = [f.name for f in fields if f.type is Coupling or f.metadata.get("traced")]
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


def _as_tuple(value: Any) -> Any:
    return tuple(_as_tuple(v) for v in value) if isinstance(value, list) else value


def _annotation(field: dataclasses.Field[Any]) -> Any:
    kind: Any = float if field.type is Coupling else field.type
    members = getattr(kind, "__args__", ()) if get_origin(kind) is not tuple else (kind,)
    if any(get_origin(k) is tuple for k in (kind, *members)):
        return Annotated[kind, pydantic.BeforeValidator(_as_tuple)]  # JSON has lists only
    return kind


class Registry(Mapping[str, type[T]], Generic[T]):
    """The components of one family by name.

    Raises:
        ValueError: a class is registered twice.
    """

    def __init__(self, family: str, classes: Mapping[str, type[T]]) -> None:
        self.family = family
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
            for f in dataclasses.fields(self[name]):  # type: ignore[arg-type]
                if (meta := f.metadata.get("param")) is None:
                    continue
                info = pydantic.Field(
                    ... if f.default is dataclasses.MISSING else f.default,
                    title=meta["title"] or f.name,
                    description=meta["description"],
                    json_schema_extra=meta["extra"] or None,
                    **meta["bounds"],
                )
                fields[f.name] = (_annotation(f), info)
            rules = pydantic.ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, frozen=True)
            self._models[name] = pydantic.create_model(name, __config__=rules, **fields)
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

    def build(self, spec: Spec, **context: Any) -> T:
        """Instantiate `spec`; of `context`, each class gets the fields that it declares."""
        cls = self[spec.name]
        known = {f.name for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
        return cls(**self.params(spec), **{k: v for k, v in context.items() if k in known})

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
