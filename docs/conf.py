"""How the pages become a site. `scripts/docs.sh` builds it."""

import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import distill
from building import docstrings, generated

project = "distill"
author = "the distill authors"
version = release = distill.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "building.formulas"]
extensions += ["building.sounds"]
exclude_patterns = ["building"]
html_theme = "furo"
html_title = "distill"
html_show_copyright = False
html_math_renderer = "mathml"
html_static_path = ["style"]
html_css_files = ["pages.css"]
html_copy_source = False

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
napoleon_custom_sections = docstrings.SECTIONS
napoleon_use_ivar = True


def setup(app: Any) -> None:
    """Write the generated pages, and have docstrings converted before Napoleon reads them."""
    generated.write(HERE / "generated")
    app.connect("autodoc-process-docstring", docstrings.process, priority=400)
