"""How Sphinx builds the guide: `sphinx-build -W docs build/site`. Nothing is fetched, neither now nor by a reader."""

import sys
from pathlib import Path
from typing import Any

from docutils import nodes
from jinja2.sandbox import SandboxedEnvironment
from numpydoc import docscrape_sphinx

from edfkit import __version__

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_ext"))

project = "edfkit"
author = "the developers of edfkit"
release = version = __version__
html_title = "edfkit"

extensions = [
    "myst_nb",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_click",
    "sphinx_copybutton",
    "mathml",
    "pictures",
    "catalogue",
]
exclude_patterns = ["_ext", "pictures"]
suppress_warnings = ["toc.empty_glob"]  # pages that are not written yet

# Notebooks are committed with their outputs, and executed by the tests.
nb_execution_mode = "off"
myst_enable_extensions = ["attrs_block", "attrs_inline", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

default_role = "code"  # as docstrings have names in single backticks
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the sections of the docstrings say what they mean; the types stand in the source
autosummary_generate = False
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["edfkit.css"]
html_show_sourcelink = False
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
html_show_search_summary = False  # a browser refuses to fetch the text of pages that are opened from disk
html_math_renderer = "mathml"
pygments_style = "friendly"
pygments_dark_style = "native"

copybutton_prompt_text = r"\$ |> "
copybutton_prompt_is_regexp = True
copybutton_only_copy_prompt_lines = True


environments: dict[type, SandboxedEnvironment] = {}


def environment(loader: Any) -> SandboxedEnvironment:
    """Give one environment for all docstrings: numpydoc makes one for each, and compiles its template anew."""
    return environments.setdefault(type(loader), SandboxedEnvironment(loader=loader))


docscrape_sphinx.SandboxedEnvironment = environment  # which saves a fifth of the time of the build


def literal(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Show the indented lines of a module's docstring as they are."""
    for place in range(len(lines) - 1, 0, -1) if what == "module" else ():
        before = next((line for line in reversed(lines[:place]) if line), "")
        if lines[place].startswith("    ") and not lines[place - 1] and not before.startswith(" "):
            lines[place:place] = ["::", ""]


def unlink(app: Any, document: Any) -> None:
    """Leave "https://..." in a text alone, which stands for an address and is none."""
    for link in list(document.findall(nodes.reference)):
        if link.get("refuri") in ("http://", "https://"):
            link.replace_self(link.children)


def setup(app: Any) -> None:
    """Have docstrings and pages pass by."""
    app.connect("autodoc-process-docstring", literal)
    app.connect("doctree-read", unlink)
