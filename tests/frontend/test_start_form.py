"""Where a run starts: the choice among trained runs, the words under it, and what a run's details say of it."""

from typing import Any

import pytest

from frontend.figures.details import More, summary
from frontend.forms import RunForm
from frontend.forms.starting import StartForm
from nqs_core.catalog import catalog


def run(ident: str, name: str = "", ansatz: str = "rbm", **more: Any) -> Any:
    """A run as the list has it."""
    return {
        "id": ident * 4,
        "name": name,
        "kind": "vmc",
        "checkpoint_step": 300,
        "config": {"ansatz": {"name": ansatz}},
        **more,
    }


RUNS = {
    r["id"]: r
    for r in (
        run("aaaaaaaa-", "ring"),
        run("bbbbbbbb-", "ring"),
        run("cccccccc-"),
        run("dddddddd-", "filters", "rescnn"),
        run("eeeeeeee-", "just begun", checkpoint_step=0),
    )
}
A, B, C, D, E = RUNS


@pytest.fixture
def changes() -> list[int]:
    return []


@pytest.fixture
def form(changes: list[int]) -> StartForm:
    made = StartForm(lambda: changes.append(1))
    made.limit(ansatz="rbm")
    made.offer(RUNS)
    return made


def test_runs_with_a_checkpoint_and_this_network_are_offered(form: StartForm) -> None:
    assert form.run.options == {"random numbers": "", "ring": A, "ring (bbbbbbbb)": B, "cccccccc": C}
    form.limit(ansatz="rescnn")
    assert form.run.options == {"random numbers": "", "filters": D}
    form.limit(ansatz="gcnn")
    assert list(form.run.options.values()) == [""]
    assert form.read({}) == {}
    assert form.fold.head.label == "Start: random parameters"


def test_a_choice_is_read_and_can_be_cleared(form: StartForm, changes: list[int]) -> None:
    assert not form.step.widget.visible
    form.run.value = A
    assert form.read({}) == {"init_from": {"run": A}}
    assert form.fold.head.label == "Start: ring, latest step"
    assert form.step.widget.visible
    assert form.clear.visible
    form.step.widget.value_input = "200"
    assert form.read({}) == {"init_from": {"run": A, "step": 200}}
    assert form.fold.head.label == "Start: ring, step 200"
    form.run.value = B  # the step was one of the other run
    assert form.read({}) == {"init_from": {"run": B}}
    before = len(changes)
    form.clear.clicks += 1
    assert form.read({}) == {}
    assert len(changes) == before + 1
    assert not form.clear.visible


def test_what_is_chosen_stays_when_the_offer_changes(form: StartForm, changes: list[int]) -> None:
    form.run.value = A
    before = len(changes)
    form.limit(ansatz="rescnn")
    form.offer({})
    assert form.read({}) == {"init_from": {"run": A}}
    assert len(changes) == before
    form.offer(RUNS)
    assert form.run.options == {"random numbers": "", "ring": A, "filters": D}


def test_a_configuration_fills_it(form: StartForm, changes: list[int]) -> None:
    form.fill({"run": "gone" * 9, "step": 7})
    assert form.fold.head.label == "Start: gonegone, step 7"
    assert form.fold.body.visible
    assert form.read({}) == {"init_from": {"run": "gone" * 9, "step": 7}}
    form.fill(None)
    assert form.read({}) == {}
    assert not changes


def test_a_broken_step_and_a_refusal_stand_under_their_fields(form: StartForm) -> None:
    form.run.value = A
    form.step.widget.value_input = "-1"
    errors: dict[str, str] = {}
    form.read(errors)
    assert list(errors) == ["init_from.step"]
    form.step.widget.value_input = ""
    form.mark("step", "no checkpoint of step 7")
    form.mark("", "the parameters do not fit")
    assert (form.step.widget.helper_text, form.run.helper_text) == (
        "no checkpoint of step 7",
        "the parameters do not fit",
    )
    assert form.run.error_state
    form.read({})
    assert (form.step.widget.helper_text, form.run.helper_text, form.run.error_state) == ("", "", False)
    form.confirm({"run": A, "step": 300})
    assert form.run.helper_text == "Its parameters fit; step 300"
    assert not form.run.error_state
    form.confirm({"run": B, "step": 300})  # of a question that is no longer asked
    assert "300" in form.run.helper_text


def test_weights_files_are_offered_to_networks_that_take_some(form: StartForm) -> None:
    form.offer_files(["big.pth", "tiny/a.safetensors"])
    assert "big.pth" not in form.run.options
    form.limit(ansatz="rwkv7", takes_weights=True)
    offered = {"random numbers": "", "big.pth": "file:big.pth", "tiny/a.safetensors": "file:tiny/a.safetensors"}
    assert form.run.options == offered
    form.run.value = "file:big.pth"
    assert form.read({}) == {"init_from": {"file": "big.pth"}}
    assert form.fold.head.label == "Start: big.pth"
    assert form.clear.visible
    assert not form.step.widget.visible
    form.confirm({"file": "big.pth", "sha256": 64 * "a", "tensors": 69})
    assert form.run.helper_text == "It fits; 69 tensors are taken from it"
    form.mark("file", "its pickle holds more than tensors")
    assert form.run.error_state
    form.fill({"file": "big.pth", "sha256": 64 * "a"})  # of another run: the same file is meant
    assert form.read({}) == {"init_from": {"file": "big.pth", "sha256": 64 * "a"}}
    form.run.value = "file:tiny/a.safetensors"
    assert form.read({}) == {"init_from": {"file": "tiny/a.safetensors"}}


def test_the_whole_form_keeps_it() -> None:
    book = catalog()
    form = RunForm(book, lambda: None)
    form.start.offer(RUNS)
    config = {**book["presets"][0]["config"], "init_from": {"run": A, "step": 5}}
    form.fill(config)
    assert form.read()[0]["init_from"] == {"run": A, "step": 5}
    found = {
        "init_from": "it does not fit",
        "init_from.run": "there is no run",
        "init_from.step": "on record: 1, 2",
        "seed": "bad",
        "colour": "unknown",
    }
    assert form.mark(found) == {"colour": "unknown"}
    assert form.start.run.helper_text == "there is no run"
    form.sections["ansatz"].set("rescnn", {})
    form._limit()
    assert form.start.run.options == {"random numbers": "", "ring": A, "filters": D}
    form.fill(book["presets"][0]["config"])
    assert "init_from" not in form.read()[0]


def test_the_details_say_from_where() -> None:
    started = run("ffffffff-", "pupil")
    assert "Parameters from" not in summary(started)
    started["config"]["init_from"] = {"run": A, "step": 1200}
    linked = summary(started, more=More(origin=RUNS[A]))
    assert f"Parameters from <a href='/?runs={A}&amp;run={A}' target='_self'>ring</a> at step 1\u202f200" in linked
    alone = summary(started)
    assert "Parameters from aaaaaaaa at step" in alone
    assert "<a" not in alone
    started["config"]["init_from"] = {"file": "a<b.pth", "sha256": 64 * "a"}
    assert "Parameters from the weights a&lt;b.pth (sha256 aaaaaaaaaaaa…)" in summary(started)
    started["config"]["init_from"] = {"run": "<script>", "step": None}
    assert "<script>" not in summary(started, more=More(origin=run("<b>", "<i>")))
