"""The network card on the page: one line, the details, and what cannot be chosen with the reason."""

import copy
from typing import Any

import pytest

from frontend.figures import card_text
from frontend.forms import RunForm, locate
from frontend.forms.fold import SHUT
from frontend.views.network_card import CHECKING, NetworkCard
from nqs_core.catalog import catalog

NEEDS = "sampler 'autoregressive' needs an autoregressive ansatz (arnn); 'rbm' is none"
LARGE = "sampler 'exact': 36 sites have 6.87e+10 configurations (1.1e+03 GB of amplitudes); the limit is 1048576"
ANSWER: dict[str, Any] = {
    "n_sites": 36,
    "n_params": 12345,
    "memory_bytes": 39_400_000,
    "reference": {"energy": -24.4393, "method": "Lanczos"},
    "card": {
        "n_sites": 36,
        "n_params": 12345,
        "groups": [
            {"name": "convs", "n_layers": 4, "n_params": 12000},
            {"name": "last", "n_layers": 1, "n_params": 345},
        ],
        "extent": [6, 6],
        "receptive_field": [5, 5],
        "amplitudes": "positive",
        "symmetry": ["every translation leaves ψ unchanged", "projected on irrep A1 of C4v"],
        "n_elements": 288,
        "n_forwards": 8,
        "local_updates": "windows around the flipped sites, 0.35 of a forward pass a move",
        "update": "minSR kernel, layers by inputs and signals: hidden (1 x 16 -> 32)",
        "memory": {"parameters": 400_000, "samples": 1_000_000, "caches": 0, "hamiltonian": 0, "optimizer": 38_000_000},
        "flops": {"sampling": 1e9, "energies": 2e9, "update": 7e9},
        "fits": {
            "sampler": {"metropolis": "", "autoregressive": NEEDS, "exact": LARGE},
            "optimizer": {"sgd": "", "adam": "", "minsr": ""},
        },
        "time": {"step_seconds": 0.0404, "seconds": 12.3, "n_runs": 3, "basis": "from 3 runs with rbm on this device"},
    },
}


def changed(**changes: Any) -> dict[str, Any]:
    answer = copy.deepcopy(ANSWER)
    answer["card"] |= changes
    return answer


def test_the_line_says_size_memory_and_time() -> None:
    assert card_text.essentials(ANSWER) == "36 sites · 12\u202f345 parameters · ~39.4 MB · ~12 s"
    unknown = changed(time={"step_seconds": None, "seconds": None, "basis": "the first run on this device will tell"})
    assert card_text.essentials(unknown) == "36 sites · 12\u202f345 parameters · ~39.4 MB"
    assert "<dt>Time</dt><dd>unknown: the first run on this device will tell</dd>" in card_text.details(unknown)


def test_the_details_have_every_number_with_its_unit() -> None:
    shown = card_text.details(ANSWER)
    for part in (
        "<dd>12\u202f345: convs (4) 12\u202f000, last 345</dd>",
        "<dd>5 × 5 of 6 × 6 cells</dd>",
        "<dd>positive, ψ &gt; 0</dd>",
        "<dd>every translation leaves ψ unchanged<br>projected on irrep A1 of C4v</dd>",
        "<dd>288 group elements, 8 forward passes an amplitude</dd>",
        "<dd>minSR kernel, layers by inputs and signals: hidden (1 × 16 → 32)</dd>",
        "<dd>39.4 MB: optimizer 38 MB, samples 1 MB, parameters 400 kB, ",
        "<dd>10 GFlop a step: update 70 %, local energies 20 %, sampling 10 %</dd>",
        "<dd>about 40 ms a step, 12 s in all without compiling<br><i>from 3 runs with rbm on this device</i></dd>",
        "<dd>metropolis fits<br>autoregressive: needs an autoregressive ansatz (arnn); &#x27;rbm&#x27; is none<br>",
        "<dd>sgd, adam, minsr fit</dd>",
    ):
        assert part in shown, part
    assert "the whole lattice" in card_text.details(changed(receptive_field=[6, 6]))
    assert "Projection" not in card_text.details(changed(n_elements=1))


def test_names_of_a_network_cannot_become_markup() -> None:
    groups = [{"name": "<script>", "n_layers": 1, "n_params": 1}]
    assert "<script>" not in card_text.details(changed(groups=groups, update="<b>"))
    assert "<b>" not in card_text.details(changed(update="<b>"))


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.0123, "12 ms"), (0.999, "1.0 s"), (1.234, "1.2 s"), (12.3, "12 s"), (89.9, "90 s"), (600, "10 min"),
     (7600, "2.1 h"), (200_000, "2.3 d")],
)  # fmt: skip
def test_an_estimate_has_two_digits(seconds: float, words: str) -> None:
    assert card_text.approximate(seconds) == words


def test_the_details_stay_while_the_form_is_checked() -> None:
    card = NetworkCard()
    card.show(ANSWER)
    assert card.fold.head.label == card_text.essentials(ANSWER)
    assert card.fold.head.icon == SHUT
    before = card.pane.object
    card.checking()
    assert (card.fold.head.label, card.pane.object) == (CHECKING, before)
    card.refuse()
    assert card.pane.object == ""


@pytest.fixture(scope="module")
def form() -> RunForm:
    return RunForm(catalog(), lambda: None)


def test_what_does_not_fit_is_greyed_with_its_reason_and_never_hidden(form: RunForm) -> None:
    select = form.sections["sampler"].select
    names = list(select.options.values())
    form.offer(ANSWER["card"]["fits"])
    assert list(select.options.values()) == names
    assert select.disabled_options == ["autoregressive", "exact"]
    labels = {name: label for label, name in select.options.items()}
    assert labels["autoregressive"] == "autoregressive: needs an autoregressive ansatz (arnn); 'rbm' is none"
    assert labels["exact"].startswith("exact: 36 sites have")
    assert labels["metropolis"] == "metropolis"
    assert form.sections["optimizer"].select.disabled_options == []
    form.offer({})
    assert select.disabled_options == []
    assert select.options == {name: name for name in names}


def test_what_is_chosen_is_never_greyed_and_the_choice_stays(form: RunForm) -> None:
    section = form.sections["sampler"]
    section.set("exact", {})
    form.offer(ANSWER["card"]["fits"])
    assert section.name == "exact"
    assert section.select.disabled_options == ["autoregressive"]
    assert form.read()[0]["sampler"]["name"] == "exact"
    form.offer({})


def test_a_refused_component_is_marked_itself(form: RunForm) -> None:
    found = locate(NEEDS)
    assert found == {"sampler": "needs an autoregressive ansatz (arnn); 'rbm' is none"}
    assert form.mark(found) == {}
    select = form.sections["sampler"].select
    assert (select.helper_text, select.error_state) == (found["sampler"], True)
    form.read()
    assert (select.helper_text, select.error_state) == ("", False)
