"""Configuration of the documentation."""

import sys
from importlib.metadata import version as installed
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

project = "Scypher"
author = "the Scypher developers"
project_copyright = author
version = release = installed("scypher")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "cypher",
    "generate",
]

# Pages that are generated are included by the page that introduces them.
exclude_patterns = ["_build", "benchmarks", "generated"]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}

myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3

napoleon_google_docstring = False
napoleon_use_ivar = True  # attributes as one list: autodoc would describe them a second time
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_class_signature = "mixed"

smartquotes = False  # what is read on a page can be searched for and pasted

html_theme = "sphinx_book_theme"
html_title = f"Scypher {release}"
html_theme_options = {"use_download_button": False, "use_fullscreen_button": False}
html_extra_path = ["llms.txt"]
