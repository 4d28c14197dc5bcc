"""The form of a new run: presets, live check, Launch."""

import html
import json
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import quote

import panel as pn
import panel_material_ui as pmui

from frontend import layout
from frontend.client import ApiError, Run, Unreachable
from frontend.components.browser import Formula
from frontend.figures import card_text, text
from frontend.forms import RunForm, locate
from frontend.latest import Latest
from frontend.state import Hub
from frontend.views.network_card import NetworkCard
from frontend.views.parts import on_press
from frontend.views.preview import LatticePreview

DEBOUNCE_SECONDS = 0.25
REFUSALS = (400, 422)
OWN = "Own configuration"
MARKED = "Check the marked fields."


class LaunchPanel:
    """Sidebar of the runs page. `launched` is awaited with the new run; `remember` gets the draft after each change."""

    def __init__(
        self, hub: Hub, launched: Callable[[Run], Awaitable[None]], remember: Callable[[str], None] = lambda draft: None
    ) -> None:
        self._hub = hub
        self._launched = launched
        self._remember = remember
        self._check = Latest(self._validate, DEBOUNCE_SECONDS)
        self._filling = False
        catalog = hub.catalog or {}
        self._presets = {str(p["title"]): p for p in catalog.get("presets") or []}
        self.form = RunForm(catalog, self._on_change)
        self.preview = LatticePreview(hub, self.form.sector.offer)
        self.preset = pmui.Select(
            label="Start from", options=[*self._presets, OWN], value=next(iter(self._presets), OWN), size="small",
            sizing_mode="stretch_width", margin=(8, 0, 2, 0),
        )  # fmt: skip
        self.preset.param.watch(self._on_preset, "value")
        self._describe()
        self.formula = Formula(sizing_mode="stretch_width", margin=(8, 0, 2, 0), min_height=30)
        self.card = NetworkCard()
        self.facts = pn.pane.HTML(BLANK, sizing_mode="stretch_width", margin=(0, 0, 6, 0), stylesheets=[FACTS_CSS])
        self.alert = pmui.Alert("", severity="error", visible=False, sizing_mode="stretch_width", margin=(0, 0, 6, 0))
        self.notes = pn.pane.HTML(
            "", visible=False, sizing_mode="stretch_width", margin=(0, 0, 6, 0), stylesheets=[NOTES_CSS]
        )
        self.button = pmui.Button(
            label="Launch", icon="play_arrow", color="primary", variant="contained", sizing_mode="stretch_width",
            margin=(2, 0), size="medium", disable_elevation=True,
        )  # fmt: skip
        on_press(self.button, self._launch)
        if self.preset.value in self._presets:
            self._fill_preset(self.preset.value)
        self._local_formula()

    def view(self) -> list[Any]:
        fields = self.form.view(under={"lattice": self.preview.fold.view})
        head = layout.Words("New run", "title")
        top = pn.Column(head, self.preset, self.formula, *fields, margin=(14, 18, 14, 18))
        top.sizing_mode = "stretch_width"
        foot = layout.foot(self.alert, self.notes, self.card.fold.view, self.facts, self.button)
        return [top, foot]

    def offer(self) -> None:
        """Offer the runs that there are now to start from."""
        self.form.start.offer(self._hub.runs)

    def draft(self) -> str:
        """What is in the form, as text that `restore` takes."""
        config, errors = self.form.read()
        return (
            json.dumps({"config": config, "tags": self.form.tag_list, "preset": self.preset.value})
            if not errors
            else ""
        )

    def restore(self, draft: str) -> None:
        """Show a draft of an earlier load of the page; what is broken is ignored."""
        try:
            saved = json.loads(draft)
            self.use(saved["config"], list(saved["tags"]), preset=str(saved.get("preset", OWN)))
        except (ValueError, KeyError, TypeError, AttributeError):
            return

    def use(self, config: dict[str, Any], tags: list[str], preset: str = OWN) -> None:
        """Fill the form with the configuration of another run."""
        self._name_preset(preset if preset in self.preset.options else OWN)
        self.form.fill(config, tags)
        self._on_change()

    def _name_preset(self, name: str) -> None:
        self._filling = True
        try:
            self.preset.value = name
        finally:
            self._filling = False

    def _describe(self) -> None:
        self.preset.description = str(self._presets.get(self.preset.value, {}).get("description") or "As it was typed.")

    def _on_preset(self, event: Any) -> None:
        self._describe()
        if not self._filling and event.new in self._presets:
            self._fill_preset(event.new)
            self._on_change()

    def _fill_preset(self, title: str) -> None:
        # Its own name would soon be wrong: presets are there to be changed.
        self.form.fill({**self._presets[title]["config"], "name": ""})

    def _on_change(self) -> None:
        self._local_formula()
        self.card.checking()
        self.facts.object = BLANK
        self._check()

    def start(self) -> None:
        """Check the first configuration, once the page is up."""
        self._on_change()

    def _local_formula(self) -> None:
        """The formula with what is typed, before the server has looked at it."""
        section = self.form.sections["hamiltonian"]
        template = section.entry.get("formula")
        if not template:
            self.formula.visible = False
            return
        values = {}
        for name, control in section.controls.items():
            try:
                values[name] = (
                    text.minus(f"{control.value:g}") if control.spec.kind in ("int", "float") else control.value
                )
            except (TypeError, ValueError):
                values[name] = f"\\mathrm{{{name}}}"
        try:
            self.formula.param.update(latex=text.tidy(template.format(**values).replace("−", "-")), visible=True)
        except (KeyError, IndexError, ValueError):
            self.formula.param.update(latex=str(template), visible=True)

    def _look(self, config: dict[str, Any], errors: dict[str, str]) -> None:
        """What needs no complete configuration: the drawing, the link to the references, a name for the run."""
        self.form.name.widget.placeholder = self._default_name(config)
        if "lattice" in config and not any(where.startswith("lattice") for where in errors):
            self.preview.show(config["lattice"], config.get("sector"))
        system = {key: config[key] for key in ("lattice", "hamiltonian", "sector") if key in config}
        self.form.sector.link(f"/references?system={quote(json.dumps(system, separators=(',', ':')))}")

    def _default_name(self, config: dict[str, Any]) -> str:
        return text.default_name(config, {run.get("name") or "" for run in self._hub.runs.values()})

    async def _validate(self) -> None:
        config, errors = self.form.read()
        self._look(config, errors)
        self.button.disabled = bool(errors)
        if errors:
            self.alert.visible = self.notes.visible = False
            self._tell_marked()
            return
        self._remember(self.draft())
        try:
            if self.form.start.takes_weights:
                self.form.start.offer_files(await self._hub.client.weights())
            answer = await self._hub.client.validate(config)
        except Unreachable:
            self.facts.object = "The server does not answer; your entries stay here."
            raise
        except ApiError as error:
            self._refuse(error)
            return
        self._accept(answer)

    def _refuse(self, error: ApiError) -> None:
        found = locate(error.detail, error.problems)
        rest = self.form.mark(found)
        # A choice that does not fit may be out of sight: it is marked, and the sentence stands here too.
        message = "" if found and not rest and not found.keys() & self.form.sections.keys() else error.detail
        self.alert.param.update(object=message, visible=bool(message))
        self.notes.visible = False
        self.card.refuse()
        self.form.offer({})
        self.facts.object = BLANK if message else MARKED
        self.button.disabled = error.status in REFUSALS  # anything else may work at the next try

    def _tell_marked(self) -> None:
        self.card.refuse()
        self.facts.object = MARKED

    def _accept(self, answer: dict[str, Any]) -> None:
        self.alert.visible = False
        if answer.get("formula"):
            self.formula.param.update(latex=text.tidy(str(answer["formula"])), visible=True)
        self.card.show(answer)
        self.facts.object = card_text.reference(answer)
        self.form.offer((answer.get("card") or {}).get("fits") or {})
        self.form.draw((answer.get("card") or {}).get("curves") or {})
        self.form.start.confirm(answer.get("init_from"))
        warnings = [str(w) for w in answer.get("warnings") or []]
        self.notes.param.update(object="".join(map(warning, warnings)), visible=bool(warnings))

    async def _launch(self, event: Any) -> None:
        config, errors = self.form.read()
        if errors:
            self._tell_marked()
            return
        if unanswered := self._check.cancel():  # its answer would replace the one to this press
            self._look(config, errors)
            self._remember(self.draft())
        config["name"] = config.get("name") or self._default_name(config)
        try:
            run = await self._hub.client.submit(config)
            if "state" not in run:
                run = await self._hub.client.get_run(run["id"])
            if tags := self.form.tag_list:
                run = await self._hub.client.update(run["id"], tags=tags)
            self.alert.visible = False
        except ApiError as error:
            self._refuse(error)
            if isinstance(error, Unreachable):
                self._check()  # takes the words away as soon as the server answers
            return
        if unanswered:
            self._check()
        await self._launched(run)


def warning(words: str) -> str:
    """A warning as its first clause; what follows is shown on demand."""
    words = words[:1].upper() + words[1:] + ("" if words.endswith((".", "!")) else ".")
    first, _, rest = words.partition(": ") if ": " in words.partition(". ")[0] else words.partition(". ")
    if not rest:
        return f"<div class='note'>{html.escape(words)}</div>"
    said = html.escape(first.rstrip(".") + ".")
    return f"<details class='note'><summary>{said}</summary>{html.escape(rest[:1].upper() + rest[1:])}</details>"


BLANK = "&nbsp;"  # as high as the answer: nothing below may jump
FACTS_CSS = ":host{font-size:12.5px;line-height:1.5;color:var(--panel-on-surface-color);opacity:.85}"
NOTES_CSS = """
:host{font-size:12.5px;line-height:1.45;color:var(--panel-on-surface-color)}
.note{padding:7px 10px;border-radius:6px;background:color-mix(in srgb,#d99a00 14%,transparent);margin-top:4px}
summary{cursor:pointer}
details[open] summary{margin-bottom:5px}
"""
