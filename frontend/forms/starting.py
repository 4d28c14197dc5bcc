"""Where the parameters of a run come from: random numbers, a run that was trained, or published weights."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import panel as pn
import panel_material_ui as pmui

from frontend.client import Run
from frontend.forms.fold import Fold
from frontend.forms.schema import Field, FieldError
from frontend.forms.widgets import MARGIN, Control

RANDOM = ""
FILE = "file:"  # before the name of a weights file, where a run has its id
HELP = (
    "A run with a checkpoint whose network is of the kind chosen above, or a file of published weights in the data "
    "folder; its parameters replace random ones"
)
STEP = Field(
    name="step",
    title="Step",
    kind="int",
    help="Of a checkpoint of that run; empty: its latest",
    optional=True,
    minimum=0,
)


class StartForm:
    """A choice among trained runs with a step, and weights files. `changed` is called after every change by the user.

    `takes_weights`: whether there are published weights of the chosen network.
    """

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._silent = False
        self._runs: Mapping[str, Run] = {}
        self._ansatz = ""
        self._files: Sequence[str] = ()
        self._digest: tuple[str, str | None] = ("", None)  # of the file that a configuration has named
        self.takes_weights = False
        self.run = pmui.Select(
            label="Parameters from", description=f"{HELP}.", options={"random numbers": RANDOM}, value=RANDOM,
            size="small", sizing_mode="stretch_width", margin=MARGIN, searchable=True, dropdown_height=280,
        )  # fmt: skip
        self.run.param.watch(self._on_run, "value")
        self.step = Control(STEP, self._on_field)
        self.step.widget.placeholder = "latest"
        self.clear = pmui.Button(label="Start at random", icon="close", variant="text", size="small", margin=(0, 0))
        self.clear.on_click(lambda event: setattr(self.run, "value", RANDOM))
        self.fold = Fold("Start", self.run, pn.Row(self.step.widget, self.clear, margin=0))
        self._show()

    def offer(self, runs: Mapping[str, Run]) -> None:
        """Offer those of `runs` that have a checkpoint."""
        self._runs = runs
        self._show()

    def offer_files(self, files: Sequence[str]) -> None:
        """Offer these weights files to networks that take some."""
        self._files = files
        self._show()

    def limit(self, *, ansatz: str, takes_weights: bool = False) -> None:
        """Offer what this network can start from only."""
        self._ansatz, self.takes_weights = ansatz, takes_weights
        self._show()

    def _on_run(self, event: Any) -> None:
        if not self._silent:
            self.step.set(None)  # of another run
            self._on_field()

    def _on_field(self) -> None:
        self._show()
        self._changed()

    def _fits(self, run: Run) -> bool:
        network = ((run.get("config") or {}).get("ansatz") or {}).get("name")
        trained = run.get("kind", "vmc") == "vmc" and bool(run.get("checkpoint_step"))
        return trained and network == self._ansatz

    def _show(self) -> None:
        chosen = self.run.value
        offered = {"random numbers": RANDOM}
        files = [FILE + name for name in self._files] if self.takes_weights else []
        runs = [ident for ident, run in self._runs.items() if self._fits(run)]
        for ident in dict.fromkeys([*filter(None, [chosen]), *runs, *files]):
            name = self.called(ident)
            offered[f"{name} ({ident[:8]})" if name in offered else name] = ident
        if offered != self.run.options:
            self._quietly(options=offered, value=chosen)
        self.clear.visible = chosen != RANDOM
        self.step.widget.visible = chosen != RANDOM and not chosen.startswith(FILE)
        if chosen.startswith(FILE):
            self.fold.tell(self.called(chosen))
            return
        step = (self.step.widget.value_input or "").strip()
        where = f"step {step}" if step else "latest step"
        self.fold.tell(f"{self.called(chosen)}, {where}" if chosen else "random parameters")

    def called(self, ident: str) -> str:
        """The name of a run, else the beginning of its id; the name of a file."""
        if ident.startswith(FILE):
            return ident.removeprefix(FILE)
        return (self._runs.get(ident) or {}).get("name") or ident[:8]

    def _quietly(self, **changes: Any) -> None:
        was, self._silent = self._silent, True
        try:
            self.run.param.update(**changes)
        finally:
            self._silent = was

    def read(self, errors: dict[str, str]) -> dict[str, Any]:
        """The key of a configuration, empty for random parameters; what does not fit is noted in `errors`."""
        self._tell("")
        if not self.run.value:
            return {}
        if self.run.value.startswith(FILE):
            name, digest = self._digest
            known = {"sha256": digest} if digest and self.run.value == FILE + name else {}
            return {"init_from": {"file": self.called(self.run.value), **known}}
        try:
            step = self.step.check()
        except FieldError as error:
            errors["init_from.step"] = str(error)
            self.fold.show()
            return {}
        return {"init_from": {"run": self.run.value} | ({} if step is None else {"step": step})}

    def fill(self, origin: Mapping[str, Any] | None) -> None:
        """Show where a configuration starts; a run that is not offered is shown too."""
        given = dict(origin or {})
        self._digest = (str(given.get("file") or ""), given.get("sha256"))
        ident = FILE + str(given["file"]) if given.get("file") else str(given.get("run") or RANDOM)
        self._quietly(options={**self.run.options, self.called(ident): ident}, value=ident)
        self.step.set(given.get("step"))
        self.step.error("")
        self._tell("")
        self._show()
        if ident:
            self.fold.show()

    def confirm(self, answer: Mapping[str, Any] | None) -> None:
        """What the server says: which step it would take, or how much of a file."""
        if answer and answer.get("file") and FILE + str(answer["file"]) == self.run.value:
            self._tell(f"It fits; {answer.get('tensors')} tensors are taken from it", error=False)
        elif answer and answer.get("run") == self.run.value:
            self._tell(f"Its parameters fit; step {answer.get('step')}", error=False)

    def _tell(self, words: str, error: bool = True) -> None:
        state = bool(words) and error
        if (self.run.helper_text or "") != words or self.run.error_state != state:
            self.run.param.update(helper_text=words, error_state=state)

    def mark(self, key: str, message: str) -> bool:
        """Put a refusal under its field, and show it."""
        if key == "step":
            self.step.error(message)
        else:
            self._tell(message)
        self.fold.show()
        return True
