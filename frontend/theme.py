"""Colours, type and the frame that every page shares."""

import pathlib
import secrets
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import panel as pn
import panel_material_ui as pmui
from panel_material_ui.base import BASE_TEMPLATE

from frontend.mended import mend_busy, mend_notifications, mend_writes
from frontend.quick import quicken

NAME = "Spinscope"
PAGES = (("Runs", "/", "show_chart"), ("References", "/references", "straighten"), ("Ising", "/ising", "grid_on"))

# Quiet surfaces, one accent. The app bar has the surface's own colour in both themes: the curves carry the colour.
THEME = {
    "light": {
        "palette": {
            "primary": {"main": "#1f5fa8"},
            "background": {"default": "#f3f5f8", "paper": "#ffffff"},
            "text": {"primary": "#1b2430", "secondary": "#55606e"},
            "divider": "#e1e6ec",
        },
        "shape": {"borderRadius": 8},
        "typography": {"button": {"textTransform": "none"}, "fontSize": 13},
    },
    "dark": {
        "palette": {
            "primary": {"main": "#7db7f0"},
            "background": {"default": "#0e1217", "paper": "#161b22"},
            "text": {"primary": "#e6ebf1", "secondary": "#9aa7b5"},
            "divider": "#2a323c",
        },
        "shape": {"borderRadius": 8},
        "typography": {"button": {"textTransform": "none"}, "fontSize": 13},
    },
}

# Readable on both surfaces (contrast at least 4.5): chips mix these with the theme's own text colour.
STATES = {
    "queued": "#a87900",
    "starting": "#a87900",
    "running": "#14884a",
    "stopped": "#7a6a94",
    "done": "#1f6fc4",
    "failed": "#c8342b",
    "doubtful": "#a87900",
    "impossible": "#c8342b",
}

CHIP_CSS = (
    ".chip{display:inline-block;padding:1px 9px;border-radius:10px;font-size:12px;line-height:18px;"
    "font-weight:600;white-space:nowrap;"
    "background:color-mix(in srgb,var(--c) 15%,transparent);"
    "color:color-mix(in srgb,var(--c) 70%,var(--panel-on-surface-color))}"
    + "".join(f".chip-{state}{{--c:{colour}}}" for state, colour in STATES.items())
)

BAR_CSS = (
    ".bar{position:relative;min-width:68px;height:18px;border-radius:5px;overflow:hidden;"
    "background:color-mix(in srgb,currentColor 8%,transparent)}"
    ".bar i{position:absolute;inset:0 auto 0 0;"
    "background:color-mix(in srgb,var(--panel-primary-color) 38%,transparent)}"
    ".bar span{position:relative;display:block;text-align:center;font-size:11.5px;line-height:18px}"
)

# Okabe-Ito, for the dots that tell which curve is whose; the charts use the same order.
CURVES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8a63d2", "#7f7f7f")
DOT_CSS = (
    ".dot{display:inline-block;width:10px;height:10px;border-radius:5px;margin-right:8px;box-sizing:border-box;"
    "border:1.5px solid color-mix(in srgb,var(--panel-on-surface-color) 35%,transparent)}"
    ".box{display:inline-block;width:16px;height:16px;border-radius:4px;box-sizing:border-box;vertical-align:-3px;"
    "border:1.5px solid color-mix(in srgb,var(--panel-on-surface-color) 42%,transparent)}"
    ".box[class*=' c']::after{content:'';display:block;width:4px;height:8px;margin:0 auto;border:solid #fff;"
    "border-width:0 2px 2px 0;transform:translateY(1px) rotate(42deg)}"
    + "".join(f":is(.dot,.box).c{i}{{background:{colour};border-color:{colour}}}" for i, colour in enumerate(CURVES))
)

PAGE_SX = {
    "& .MuiAppBar-root": {
        "backgroundColor": "background.paper",
        "backgroundImage": "none",
        "color": "text.primary",
        "boxShadow": "none",
        "borderBottom": "1px solid",
        "borderColor": "divider",
    },
    "& .MuiDrawer-paper": {"backgroundImage": "none", "borderColor": "divider"},
    "& main": {"backgroundColor": "background.default", "overflowY": "auto"},
    "& .MuiAppBar-root .title": {
        "color": "text.primary",
        "fontSize": {"xs": "1.05rem", "sm": "1.2rem"},
        "fontWeight": 650,
    },
    "& .MuiToolbar-root": {"minHeight": "52px !important"},
    "& .MuiAppBar-root .MuiToolbar-root": {"paddingLeft": "14px", "paddingRight": "14px"},
}

RAW_CSS = """
:root { --bokeh-font-size: 13px; }
body { margin: 0; }
"""

# Before anything else: the colours of the theme, also of what covers the page until it is built up.
HEAD = """{% extends "base.html" %}
{% block resources %}
<style>
html { color-scheme: SCHEME; }
html, body, #loader { background-color: var(--panel-background-color, BACKGROUND) !important; }
</style>
<script data-drawn="SCHEME" data-cookie="COOKIE">FIRST_PAINT</script>
{{ super() }}
{% endblock %}
"""
FIRST_PAINT = pathlib.Path(__file__).parent / "components" / "assets" / "first_paint.js"
COOKIE = "spinscope_theme"

FAVICON_SVG = (
    "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'><rect width='32' height='32' rx='7' fill='#1f5fa8'/>"
    "<path d='M10 24V8m-4 5 4-5 4 5M22 8v16m-4-5 4 5 4-5' fill='none' stroke='white' stroke-width='2.6' "
    "stroke-linecap='round' stroke-linejoin='round'/></svg>"
)
FAVICON = "data:image/svg+xml," + quote(FAVICON_SVG)


def _head(scheme: str) -> Any:
    """The page's template with a head for `scheme`."""
    words = HEAD.replace("SCHEME", scheme).replace("BACKGROUND", THEME[scheme]["palette"]["background"]["default"])
    return BASE_TEMPLATE.environment.from_string(
        words.replace("COOKIE", COOKIE).replace("FIRST_PAINT", FIRST_PAINT.read_text())
    )


HEADS = {scheme: _head(scheme) for scheme in THEME}


def dress() -> None:
    """Before a visitor's page is built: everything on it gets the theme that the visitor's cookie names."""
    config: Any = pn.config
    config.theme = "dark" if pn.state.cookies.get(COOKIE) == "dark" else "default"


def _link_style(current: bool) -> dict[str, Any]:
    colour = "var(--panel-primary-color)" if current else "var(--panel-on-surface-color)"
    return {"fontWeight": 650 if current else 450, "minWidth": 0, "color": colour}


def navigation(current: str) -> pn.Row:
    """The links between the pages; real links, so that they open in a new tab too."""
    links = [
        pmui.Button(
            label=label,
            icon=icon,
            href=url,
            target="_self",
            variant="text",
            size="small",
            margin=(0, 2),
            sx={"&.MuiButton-root": _link_style(url == current)},
        )
        for label, url, icon in PAGES
    ]
    return pn.Row(*links, margin=(0, 0, 0, 12))


def page(
    current: str,
    main: Sequence[Any],
    sidebar: Sequence[Any] = (),
    header: Sequence[Any] = (),
    sidebar_width: int = 340,
    **params: Any,
) -> pmui.Page:
    """The frame: app bar with navigation and the dark switch, a sidebar (a closed drawer on phones), the content."""
    label = next(name for name, url, _ in PAGES if url == current)
    made = pmui.Page(
        template=HEADS["dark" if pn.config.theme == "dark" else "light"],
        title=NAME,
        site_url="/",
        main=list(main),
        sidebar=list(sidebar),
        header=[navigation(current), *header],
        sidebar_width=sidebar_width,
        tags=[secrets.token_hex(8)],  # tells the browser this session from one that replaced it
        sidebar_open=False,  # opened after load where there is room: on phones it would cover the page
        theme_config=THEME,
        favicon=FAVICON,
        sx=PAGE_SX,
        raw_css=[RAW_CSS],
        meta_title=f"{label} · {NAME}",
        meta_description="Variational Monte Carlo of spin models with neural quantum states, live.",
        busy_indicator=None,
        **params,
    )
    mend_busy(made)
    return made


def extension() -> None:
    """Load Panel's extensions and mend what needs it, once per process."""
    mend_writes()
    mend_notifications()
    quicken()
    pn.extension("katex", notifications=True, reconnect=True)
