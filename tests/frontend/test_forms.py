"""Forms from schemas: every kind of field, every refusal, and that every registered component round-trips."""

from typing import Any

import pytest

from frontend.forms import FieldError, RunForm, field, fields, locate, parse, split_tags
from frontend.forms.schema import show
from frontend.forms.widgets import flag_options
from frontend.views.actions import as_value, merge_patch, with_value
from nqs_core.catalog import catalog
from nqs_core.config import parse as parse_config

SCHEMAS: dict[str, tuple[dict[str, Any], str]] = {
    "int": ({"type": "integer", "minimum": 2, "maximum": 9}, "int"),
    "float": ({"type": "number", "exclusiveMinimum": 0}, "float"),
    "bool": ({"type": "boolean"}, "bool"),
    "enum": ({"enum": ["a", "b"], "type": "string"}, "choice"),
    "const": ({"const": 1}, "choice"),
    "text": ({"type": "string", "maxLength": 3}, "text"),
    "ints": ({"type": "array", "items": {"type": "integer"}}, "ints"),
    "pair": ({"type": "array", "prefixItems": [{"type": "integer"}, {"type": "integer"}]}, "ints"),
    "flags": ({"anyOf": [{"type": "boolean"}, {"type": "array", "items": {"type": "boolean"}}]}, "flags"),
    "optional": ({"anyOf": [{"type": "number", "minimum": 1}, {"type": "null"}]}, "float"),
    "mixed": ({"anyOf": [{"type": "integer"}, {"type": "number"}]}, "float"),
    "object": ({"type": "object"}, "json"),
    "unknown": ({}, "json"),
}


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_schema_has_a_field(name: str) -> None:
    schema, kind = SCHEMAS[name]
    assert field(name, schema).kind == kind


def test_references_are_followed() -> None:
    root = {
        "$defs": {"Move": {"enum": ["flip"], "type": "string"}},
        "properties": {"move": {"$ref": "#/$defs/Move", "default": "flip"}},
    }
    (made,) = fields(root)
    assert made.choices == ("flip",)
    assert made.default == "flip"


def test_optional_numbers_keep_their_bounds() -> None:
    made = field("x", SCHEMAS["optional"][0])
    assert made.optional
    assert parse(made, "") is None
    with pytest.raises(FieldError, match="≥ 1"):
        parse(made, "0.5")


@pytest.mark.parametrize(
    ("schema", "typed", "value"),
    [
        ("int", "7", 7), ("int", " 7 ", 7), ("float", "1e-3", 1e-3), ("float", "0,5", 0.5), ("text", "ab", "ab"),
        ("ints", "4, 6", [4, 6]), ("ints", "4x6", [4, 6]), ("ints", "[3]", [3]), ("object", '{"a": 1}', {"a": 1}),
    ],
)  # fmt: skip
def test_typed_text_becomes_a_value(schema: str, typed: str, value: Any) -> None:
    made = parse(field("x", SCHEMAS[schema][0]), typed)
    assert made == value
    assert type(made) is type(value)


@pytest.mark.parametrize(
    ("schema", "typed"),
    [("int", ""), ("int", "x"), ("int", "2.5"), ("int", "1"), ("int", "10"), ("float", "0"), ("float", "nan"),
     ("float", "inf"),     ("text", "abcd"), ("ints", ""), ("ints", "a")],
)  # fmt: skip
def test_what_does_not_fit_is_refused(schema: str, typed: str) -> None:
    with pytest.raises(FieldError):
        parse(field("x", SCHEMAS[schema][0]), typed)


def test_a_value_is_shown_as_it_is_typed() -> None:
    for schema, value in (("float", 0.001), ("int", 7), ("ints", [4, 4]), ("text", "ab")):
        made = field("x", SCHEMAS[schema][0])
        assert parse(made, show(made, value)) == value


def test_flags_come_one_per_axis() -> None:
    assert list(flag_options(1).values()) == [True, False]
    assert list(flag_options(2).values()) == [True, False, [True, False], [False, True]]
    assert [True, True] in flag_options(1, [True, True]).values()


@pytest.mark.parametrize(
    ("detail", "where"),
    [
        ("lattice 'chain': length: Input should be at least 2 (given: '-3'); parameters: length", "lattice.length"),
        ("seed: Input should be a valid integer (given: 'x')", "seed"),
        ("sector.sz: 'tfim' does not conserve S^z", "sector.sz"),
        ("sector.momentum = 'M': labels of this lattice are Γ, X", "sector.momentum"),
    ],
)  # fmt: skip
def test_refusals_find_their_field(detail: str, where: str) -> None:
    assert list(locate(detail)) == [where]


def test_refusals_that_name_no_field_are_told_as_they_are() -> None:
    assert locate("the exact sampler enumerates at most 20 sites (given: 64)") == {}
    assert locate("x", (("hamiltonian.params.J", "bad"),)) == {"hamiltonian.J": "bad"}


@pytest.fixture(scope="module")
def book() -> dict[str, Any]:
    return catalog()


def families(book: dict[str, Any]) -> list[tuple[str, str]]:
    return [(f, n) for f in ("lattice", "hamiltonian", "ansatz", "sampler", "optimizer") for n in book[f]]


@pytest.mark.parametrize(("family", "name"), families(catalog()))
def test_every_registered_component_has_a_form_that_gives_its_defaults(
    book: dict[str, Any], family: str, name: str
) -> None:
    form = RunForm(book, lambda: None)
    form.sections[family].set(name, {})
    config, errors = form.read()
    assert not errors
    schema = book[family][name]["schema"]["properties"]
    expected = {k: p["default"] for k, p in schema.items() if p.get("default") is not None}
    assert config[family]["name"] == name
    shown = {k: v for k, v in config[family]["params"].items() if k in expected}
    assert shown == expected
    for spec in fields(book[family][name]["schema"]):
        assert spec.help
        assert spec.tooltip


@pytest.mark.parametrize("preset", catalog()["presets"], ids=lambda p: p["name"])
def test_presets_pass_through_the_form_unchanged(book: dict[str, Any], preset: dict[str, Any]) -> None:
    form = RunForm(book, lambda: None)
    form.fill(preset["config"])
    config, errors = form.read()
    assert not errors
    parse_config(config)
    given = preset["config"]
    for key in ("lattice", "hamiltonian", "ansatz", "sampler", "optimizer"):
        if key in given:
            assert config[key]["name"] == given[key]["name"]
            assert given[key].get("params", {}).items() <= config[key]["params"].items()
    assert config.get("sector") == given.get("sector")
    assert (config["n_steps"], config["seed"]) == (given.get("n_steps", 300), given.get("seed", 0))


def test_keys_without_a_widget_are_carried_along(book: dict[str, Any]) -> None:
    form = RunForm(book, lambda: None)
    form.fill({**book["presets"][0]["config"], "init_from": {"run": "x"}})
    assert form.read()[0]["init_from"] == {"run": "x"}


def test_the_server_chooses_what_is_left_automatic(book: dict[str, Any]) -> None:
    form = RunForm(book, lambda: None)
    form.fill({k: v for k, v in book["presets"][0]["config"].items() if k not in ("sampler", "optimizer")})
    config, errors = form.read()
    assert not errors
    assert "sampler" not in config
    assert "optimizer" not in config


def test_a_bad_field_is_marked_and_named(book: dict[str, Any]) -> None:
    form = RunForm(book, lambda: None)
    form.sections["lattice"].set("chain", {"length": -3})
    errors = form.read()[1]
    assert list(errors) == ["lattice.length"]
    widget = form.sections["lattice"].controls["length"].widget
    assert widget.error_state
    assert widget.helper_text == errors["lattice.length"]
    form.sections["lattice"].set("chain", {"length": 8})
    assert form.read()[1] == {}
    assert not widget.error_state


def test_one_parameter_becomes_a_merge_patch() -> None:
    assert merge_patch("lattice.params.length", 8) == {"lattice": {"params": {"length": 8}}}
    config = {"lattice": {"params": {"length": 4, "periodic": True}}, "seed": 0}
    changed = with_value(config, "lattice.params.length", 8)
    assert changed == {"lattice": {"params": {"length": 8, "periodic": True}}, "seed": 0}
    assert config["lattice"]["params"]["length"] == 4
    assert with_value({}, "sector.sz", 1.0) == {"sector": {"sz": 1.0}}
    assert as_value("2", 1.0) == 2.0
    assert isinstance(as_value("2", 1.0), float)
    assert as_value("2", 1) == 2
    assert as_value("true", "flip") == "true"
    assert as_value("[4, 4]", [2, 2]) == [4, 4]


def test_tags_are_words_between_commas() -> None:
    assert split_tags(" a, b ,, a ") == ["a", "b"]
