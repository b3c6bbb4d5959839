"""The Sphinx extension that writes what the code says about itself, before sources are read."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli_page import write_cli_page
from layer_picture import write_layer_picture
from reference_pages import (
    PublicNamesDomain,
    is_hidden,
    leave_foreign_names_as_text,
    write_reference,
)
from sphinx.domains.python import PythonDomain

if TYPE_CHECKING:
    from sphinx.application import Sphinx

__all__ = ["setup"]


def setup(app: Sphinx) -> dict[str, Any]:
    """Write the generated pages, and link the names in docstrings."""
    app.connect("builder-inited", _write)
    app.connect("missing-reference", leave_foreign_names_as_text)
    app.connect("autodoc-process-docstring", _align_numbers)
    app.connect("autodoc-process-bases", _hide_private_bases)
    documented: Any = PythonDomain.directives["class"]
    for field in documented.doc_field_types:
        if field.name == "variable":
            field.label = "Attributes"  # as the docstrings say
    app.add_domain(PublicNamesDomain, override=True)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _write(app: Sphinx) -> None:
    folder = Path(app.srcdir) / "reference" / "generated"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    write_reference(folder)
    write_cli_page(folder)
    write_layer_picture(folder)


def _align_numbers(
    app: Sphinx, what: str, name: str, value: Any, options: Any, lines: list[str]
) -> None:
    """Make one list of numbers that the source aligns at their right, as in 9 and 10."""
    lines[:] = [re.sub(r"^ (\d\. )", r"\1", line) for line in lines]


def _hide_private_bases(
    app: Sphinx, name: str, value: Any, options: Any, bases: list[type]
) -> None:
    """Show no base that a reader cannot look up."""
    bases[:] = [base for base in bases if not is_hidden(base)]
