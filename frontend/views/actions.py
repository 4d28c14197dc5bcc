"""What one can do with a run: buttons and the dialogs they open."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

import panel as pn
import panel_material_ui as pmui

from frontend import layout
from frontend.client import ApiError, Run, export_url
from frontend.figures.comparison import flatten
from frontend.forms import split_tags
from frontend.forms.widgets import set_text
from frontend.state import ACTIVE, Hub, View
from frontend.views.measure import MeasureDialog
from frontend.views.parts import Confirm, dialog, icon, say
from nqs_core.words import clone_name


def merge_patch(path: str, value: Any) -> dict[str, Any]:
    """The JSON merge patch that sets one dotted path."""
    patch: Any = value
    for key in reversed(path.split(".")):
        patch = {key: patch}
    return patch


def with_value(config: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A copy of `config` in which one dotted path has another value."""
    key, _, rest = path.partition(".")
    return {**config, key: with_value(config.get(key) or {}, rest, value) if rest else value}


def as_value(typed: str, old: Any) -> Any:
    """What is typed, as JSON where it is JSON and the old value was no text; integers stay floats where floats were."""
    if isinstance(old, str):
        return typed
    try:
        value = json.loads(typed)
    except ValueError:
        return typed
    if isinstance(old, float) and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    return value


class Actions:
    """Acts on the focused run. `clone_into_form` gets a configuration and tags."""

    def __init__(
        self,
        hub: Hub,
        view: View,
        clone_into_form: Callable[[dict[str, Any], list[str]], None],
        copy_link: Callable[[], None],
        measuring: Callable[[Run], Awaitable[None]],
    ) -> None:
        self._hub = hub
        self._view = view
        self._into_form = clone_into_form
        self._copy_link = copy_link
        self.measure = MeasureDialog(hub, measuring)
        self._buttons()
        self._rename_dialog()
        self._clone_dialog()
        self.sure = Confirm("Delete this run?")

    @property
    def run(self) -> Run | None:
        return self._hub.find(self._view.focused)

    def _buttons(self) -> None:
        self.stop = icon("stop_circle", "Stop", self._stop)
        self.resume = icon("play_circle", "Resume", self._resume)
        self.clone = icon("content_copy", "Clone", lambda e: self._open_clone())
        self.start = icon("fork_right", "Start from here", lambda e: self._start_from())
        self.edit = icon("edit", "Rename and tag", lambda e: self._open_rename())
        self.again = icon("add_chart", "Measure more", lambda e: self._open_measure())
        self.reference = pmui.IconButton(
            icon="calculate", description="Compute a reference", label="Compute a reference", size="small",
            margin=(0, 1), href="/references", target="_self",
        )  # fmt: skip
        self.archive = icon("archive", "Archive", self._toggle_archive)
        self.delete = icon("delete", "Delete", lambda e: self._open_delete())
        self.link = icon("link", "Copy link to this view", lambda e: self._link())
        self.export = pn.pane.HTML("", margin=(4, 4), stylesheets=[LINK_CSS])
        self.bar = layout.flow(
            self.stop, self.resume, self.clone, self.start, self.again, self.reference, self.edit, self.archive,
            self.delete, self.link, self.export,
            margin=(0, 6), visible=False,
        )  # fmt: skip

    def dialogs(self) -> list[Any]:
        return [self.rename_box, self.clone_box, self.measure.box, self.sure.box]

    def refresh(self) -> None:
        """Offer what the run's state allows."""
        run = self.run
        if run is None:
            self.bar.visible = False
            return
        active = run.get("state") in ACTIVE
        self.stop.visible = active
        self.stop.disabled = run.get("desired") == "stop"
        self.resume.visible = run.get("state") in ("stopped", "failed")
        self.again.visible = self.measure.offered(run)
        self.start.visible = run.get("kind", "vmc") == "vmc" and bool(run.get("checkpoint_step"))
        self.reference.href = f"/references?compute={run['id']}"
        self.delete.disabled = active
        archived = bool(run.get("archived"))
        self.archive.param.update(
            icon="unarchive" if archived else "archive", description="Restore" if archived else "Archive"
        )
        links = (f"<a href='{export_url(run['id'], kind)}' download>{kind.upper()}</a>" for kind in ("json", "csv"))
        self.export.object = "".join(links)
        self.bar.visible = True  # last: buttons that come or go would move the others from under the mouse

    async def _act(self, call: Callable[[str], Awaitable[Run | None]], words: str) -> None:
        run = self.run
        if run is None:
            return
        try:
            changed = await call(run["id"])
        except ApiError as error:
            say(error.detail, "error")
            return
        if changed and "state" in changed:
            self._hub.put(changed)
        say(f"{words} {run.get('name') or 'the run'}.", "info")

    async def _stop(self, event: Any) -> None:
        await self._act(self._hub.client.stop, "Stopping")

    async def _resume(self, event: Any) -> None:
        await self._act(self._hub.client.resume, "Resuming")

    def _start_from(self) -> None:
        """Into the form: this configuration, with the parameters that the run has reached."""
        if run := self.run:
            self._into_form(
                {**(run.get("config") or {}), "name": "", "init_from": {"run": run["id"]}}, run.get("tags") or []
            )
            say(f"The form starts from the parameters of {run.get('name') or 'the run'}.", "info")

    def _open_measure(self) -> None:
        if run := self.run:
            self.measure.open(run)

    async def _toggle_archive(self, event: Any) -> None:
        run = self.run
        if run is not None:
            archived = not run.get("archived")
            await self._act(
                lambda i: self._hub.client.update(i, archived=archived), "Archived" if archived else "Restored"
            )

    def _link(self) -> None:
        self._copy_link()
        say("The link to this view is in the clipboard.", "info")

    def _rename_dialog(self) -> None:
        wide: dict[str, Any] = {"sizing_mode": "stretch_width", "margin": (6, 0), "size": "small"}
        self.new_name = pmui.TextInput(label="Name", max_length=200, **wide)
        self.new_tags = pmui.TextInput(label="Tags", helper_text="Words separated by commas", **wide)
        save = pmui.Button(label="Save", color="primary", variant="contained", disable_elevation=True, margin=(8, 0))
        save.on_click(self._save_name)
        self.rename_box = dialog("Rename and tag", self.new_name, self.new_tags, save)

    def _open_rename(self) -> None:
        if run := self.run:
            for widget, words in (
                (self.new_name, run.get("name") or ""),
                (self.new_tags, ", ".join(run.get("tags") or [])),
            ):
                set_text(widget, words)
            self.rename_box.open = True

    async def _save_name(self, event: Any) -> None:
        name, tags = (self.new_name.value_input or "").strip(), split_tags(self.new_tags.value_input or "")
        await self._act(lambda i: self._hub.client.update(i, name=name, tags=tags), "Saved")
        self.rename_box.open = False

    def _clone_dialog(self) -> None:
        wide: dict[str, Any] = {"sizing_mode": "stretch_width", "margin": (6, 0), "size": "small"}
        self.path = pmui.Select(label="Parameter to change", options={"nothing": ""}, value="", searchable=True, **wide)
        self.value = pmui.TextAreaInput(label="New value", rows=1, auto_grow=True, max_rows=10, **wide)
        self.path.param.watch(self._show_old, "value")
        launch = pmui.Button(
            label="Clone and run", color="primary", variant="contained", disable_elevation=True, margin=0
        )
        into = pmui.Button(label="Open in the form", variant="outlined", margin=(0, 10))
        launch.on_click(self._clone)
        into.on_click(self._clone_to_form)
        self.clone_box = dialog("Clone this run", self.path, self.value, pn.Row(launch, into, margin=(10, 0, 0, 0)))

    def _open_clone(self) -> None:
        if run := self.run:
            leaves = flatten(run.get("config") or {})
            labels = {p.replace(".params", ""): p for p in leaves if not p.endswith(".name") and p != "name"}
            self.path.param.update(options={"nothing": "", **labels}, value="")
            self._show_old(None)
            self.clone_box.open = True

    def _show_old(self, event: Any) -> None:
        run = self.run
        old = flatten((run or {}).get("config") or {}).get(self.path.value, "")
        words = old if isinstance(old, str) else json.dumps(old)
        helper = f"Now {words}" if self.path.value else "An exact copy, with the same seed"
        set_text(self.value, words)
        self.value.param.update(disabled=not self.path.value, helper_text=helper, error_state=False)

    def _new_value(self, run: Run) -> Any:
        old = flatten(run.get("config") or {}).get(self.path.value)
        return as_value(self.value.value_input or "", old)

    async def _clone(self, event: Any) -> None:
        run = self.run
        if run is None:
            return
        try:
            patch = merge_patch(self.path.value, self._new_value(run)) if self.path.value else {}
            new = await self._hub.client.clone(run["id"], patch)
            if "state" not in new:
                new = await self._hub.client.get_run(new["id"])
        except ApiError as error:
            self.value.param.update(helper_text=error.detail, error_state=True)
            return
        self.clone_box.open = False
        self._hub.put(new)
        self._view.show(new["id"], self._hub.runs)

    def _clone_to_form(self, event: Any) -> None:
        if run := self.run:
            config, patch = run.get("config") or {}, {}
            if self.path.value:
                value = self._new_value(run)
                config, patch = with_value(config, self.path.value, value), merge_patch(self.path.value, value)
            name = clone_name(run, patch, {other.get("name") or "" for other in self._hub.runs.values()})
            self._into_form({**config, "name": name}, run.get("tags") or [])
            self.clone_box.open = False

    def _open_delete(self) -> None:
        if run := self.run:
            name = run.get("name") or run["id"][:8]
            self.sure.ask(f"{name}, its curves and its checkpoints will be gone for good.", self._delete)

    async def _delete(self) -> None:
        run = self.run
        if run is None:
            return
        try:
            await self._hub.client.delete(run["id"])
        except ApiError as error:
            say(error.detail, "error")
            return
        self._hub.drop(run["id"])
        self._view.forget(self._hub.runs)


LINK_CSS = """
:host{font-size:12.5px} a{color:var(--panel-primary-color);text-decoration:none;margin-left:8px;font-weight:600}
a:hover,a:focus{text-decoration:underline}
"""
