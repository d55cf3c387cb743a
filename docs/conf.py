"""How the site is built."""

import sys
from importlib.metadata import version as version_of
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))
project = "ecs_block"
author = "the ecs_block maintainers"
copyright = "2026, the ecs_block maintainers"
version = release = version_of("ecs-block")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "generated"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
exclude_patterns = ["_build", "_style"]
html_theme = "furo"
html_title = "ecs_block"
html_static_path = ["_style"]
html_css_files = ["site.css"]
html_js_files = ["copy.js"]
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
add_module_names = False  # people import from the packages
default_role = "code"  # docstrings mark code with single backticks
smartquotes = False  # what is quoted may be typed
nitpicky = False


def setup(app):
    """Leave out how errors are made: the library does that."""
    app.connect("autodoc-process-signature", lambda app, what, *_: ("", None) if what == "exception" else None)
