"""The page of the Ising model: it runs, its numbers are the lattice's, it is usable with keyboard, finger and phone."""

import pytest
from playwright.sync_api import Page

from tests.browser.conftest import PATIENCE_MS, OpenPage, wait_until_it_fits

RUNNING = "window.__ising && __ising.frames > 3"


def wait(page: Page, condition: str) -> None:
    page.wait_for_function(condition, timeout=PATIENCE_MS)


def test_starts_stops_and_steps(open_page: OpenPage) -> None:
    page = open_page("/ising?L=64")
    wait(page, RUNNING)
    page.get_by_role("button", name="Stop", exact=True).click()
    sweeps = page.evaluate("__ising.sweeps")
    page.get_by_role("button", name="Step", exact=True).click()
    page.get_by_role("button", name="Step", exact=True).click()
    assert page.evaluate("__ising.sweeps") == sweeps + 2
    page.get_by_role("button", name="Start", exact=True).click()
    wait(page, f"__ising.sweeps > {sweeps + 5}")


def test_numbers_on_the_page_are_those_of_the_lattice(open_page: OpenPage) -> None:
    page = open_page("/ising?L=32&h=0.2")
    wait(page, RUNNING)
    page.get_by_role("button", name="Stop", exact=True).click()
    page.get_by_role("button", name="Step", exact=True).click()
    spins = page.evaluate("[...__ising.model.spins]")
    size = 32
    m = sum(spins) / size**2
    bonds = sum(
        spins[y * size + x] * (spins[(y + 1) % size * size + x] + spins[y * size + (x + 1) % size])
        for y in range(size)
        for x in range(size)
    )
    assert page.locator("#m").inner_text() == f"{m:.3f}"
    assert float(page.locator("#e").inner_text()) == pytest.approx(-bonds / size**2 - 0.2 * m, abs=6e-4)


def test_the_address_holds_the_state(open_page: OpenPage) -> None:
    page = open_page("/ising?T=1.5&L=64&algorithm=wolff")
    wait(page, RUNNING)
    assert page.get_by_role("slider", name="Temperature").input_value() == "1.5"
    assert page.get_by_role("radio", name="Wolff").is_checked()
    page.get_by_role("radio", name="Heat bath").check(force=True)
    page.get_by_role("button", name="Tc = 2.269").click()
    page.get_by_role("combobox", name="Lattice").select_option("32")
    wait(page, "location.search === '?L=32&algorithm=heat_bath'")
    assert page.evaluate("__ising.model.L") == 32


def test_order_below_and_disorder_above_the_critical_point(open_page: OpenPage) -> None:
    page = open_page("/ising?L=64&T=1.5&algorithm=wolff&speed=5")
    wait(page, "window.__ising && __ising.sweeps > 100")
    assert abs(page.evaluate("__ising.now.m")) > 0.9
    page.get_by_role("slider", name="Temperature").fill("5")
    page.get_by_role("radio", name="Metropolis").check(force=True)
    wait(page, "__ising.settled > 100")
    assert abs(page.evaluate("__ising.now.m")) < 0.2


def test_painting_with_the_pointer(open_page: OpenPage) -> None:
    page = open_page("/ising?L=64")
    wait(page, RUNNING)
    page.get_by_role("button", name="Stop", exact=True).click()
    page.get_by_role("button", name="Reset: all up").click()
    page.get_by_role("radio", name="Paint down").check(force=True)
    page.locator("canvas.lattice").click(position={"x": 100, "y": 100})
    painted = page.evaluate("__ising.model.spins.filter(s => s < 0).length")
    assert 5 <= painted <= 40


def test_keyboard(open_page: OpenPage) -> None:
    page = open_page("/ising?L=32")
    wait(page, RUNNING)
    page.locator("canvas.lattice").focus()
    page.keyboard.press(" ")
    assert page.get_by_role("button", name="Start", exact=True).is_visible()
    sweeps = page.evaluate("__ising.sweeps")
    page.keyboard.press("s")
    assert page.evaluate("__ising.sweeps") == sweeps + 1
    page.get_by_role("slider", name="Field").focus()
    page.keyboard.press("ArrowRight")
    assert page.evaluate("__ising.model.h") == 0.01


def test_hysteresis_plot_can_be_chosen(open_page: OpenPage) -> None:
    page = open_page("/ising?L=32&T=1.5")
    wait(page, RUNNING)
    page.get_by_role("radio", name="m against h").check(force=True)
    page.get_by_text("Path of h and m").wait_for()


def test_on_a_phone_the_sliders_stand_under_the_lattice(open_page: OpenPage) -> None:
    page = open_page("/ising", width=400, height=800)
    wait(page, RUNNING)
    wait_until_it_fits(page)
    lattice = page.locator("canvas.lattice").bounding_box()
    slider = page.get_by_role("slider", name="Temperature").bounding_box()
    assert lattice is not None
    assert slider is not None
    assert slider["y"] >= lattice["y"] + lattice["height"]
    assert slider["y"] + slider["height"] < 800, "the temperature is out of sight while one looks at the lattice"


def test_less_motion_means_that_nothing_moves_unasked(open_page: OpenPage) -> None:
    page = open_page("/ising?L=32")
    page.emulate_media(reduced_motion="reduce")
    page.reload()
    page.get_by_role("button", name="Start", exact=True).wait_for()
    assert page.evaluate("__ising.frames") == 0


# Text against what is painted behind it, by letting a canvas mix the colours (WCAG 2.2, relative luminance).
CONTRASTS = """() => {
  const lab = __ising.canvas.closest('.lab');
  const context = Object.assign(document.createElement('canvas'), {width: 1, height: 1}).getContext('2d');
  const paint = (colours) => {
    context.clearRect(0, 0, 1, 1);
    for (const c of colours) { context.fillStyle = c; context.fillRect(0, 0, 1, 1); }
    const linear = (v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    const [r, g, b] = [...context.getImageData(0, 0, 1, 1).data].map(linear);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const parent = (e) => e.parentElement ?? e.assignedSlot ?? e.getRootNode().host;
  const found = [];
  for (const element of lab.querySelectorAll('*')) {
    if (![...element.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim())) continue;
    if (['OPTION', 'LEGEND', 'STYLE'].includes(element.tagName)) continue;
    const layers = [];
    for (let e = element; e; e = parent(e)) layers.unshift(getComputedStyle(e).backgroundColor);
    const behind = paint(layers), text = paint([...layers, getComputedStyle(element).color]);
    const ratio = (Math.max(behind, text) + 0.05) / (Math.min(behind, text) + 0.05);
    found.push([ratio, element.textContent.trim().slice(0, 30)]);
  }
  return found;
}"""


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_text_is_readable(open_page: OpenPage, dark: bool) -> None:
    page = open_page("/ising?L=32")
    wait(page, RUNNING)
    if dark:
        page.get_by_role("button", name="theme").click()
        wait(page, "__ising.theme.dark")
    found = page.evaluate(CONTRASTS)
    assert len(found) > 20
    assert [text for ratio, text in found if ratio < 4.5] == []
