"""Settings of the docs site: ``make docs``. It is built without a network, and a warning is an error."""

from sphinx.ext.napoleon.docstring import NumpyDocstring

import bench


def _prose(field):
    """Take a section as sentences, where numpydoc has a type in its first line: our types are in the signature."""
    return lambda self, _: self._format_block(f":{field}: ", self._dedent(self._consume_to_next_section()))


NumpyDocstring._parse_returns_section = _prose("returns")
NumpyDocstring._parse_yields_section = _prose("yields")

project = "bench"
author = "scmamba-bench"
copyright = author
version = release = bench.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_external_toc",
]
exclude_patterns = ["_build"]

myst_heading_anchors = 3
nb_execution_mode = "off"  # a test runs the notebook

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_preserve_defaults = True
autodoc_type_aliases = {"ArrayLike": "ArrayLike"}
napoleon_google_docstring = False
napoleon_attr_annotations = False

# A reference to something of ours must lead somewhere. Nothing is said of names of other packages.
nitpicky = True
nitpick_ignore_regex = [("py:.*", r"(?!bench\.).*|bench\.api\..*")]

html_theme = "sphinx_book_theme"
html_title = "bench"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_theme_options = {"show_toc_level": 2, "home_page_in_toc": True, "navbar_persistent": []}
