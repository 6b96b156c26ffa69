"""Sphinx extension: what leads from a page to the repository, where ``_config.yml`` names one.

Without ``repository: url`` no page has such a link, and with it all have: the theme alone would
complain of a missing address, and Jupyter Book of buttons without one.

Colab opens notebooks from GitHub only, and what stands in git cannot name its own revision. So the
button opens the notebook beside the published page, in whose first cell the build has filled in
the address of the library and the revision that it was built with.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

PUBLISHED_BRANCH = "gh-pages"  # where .github/workflows/book.yml puts the pages
COLAB_CELL = "install-in-colab"  # the id of a cell that every chapter has and no page shows
NO_ADDRESS = 'LIBRARY = ""'
_BUTTONS = ("use_repository_button", "use_issues_button", "use_edit_page_button")


def setup(app: Any) -> dict[str, bool]:
    """Choose the buttons before the theme looks at them; mend Colab's after it made them."""
    app.connect("config-inited", _choose_buttons)
    app.connect("html-page-context", _open_published_notebook, priority=600)  # the theme's are 501
    app.connect("build-finished", _fill_in_library)
    return {"parallel_read_safe": True}


def _choose_buttons(app: Any, config: Any) -> None:
    options = config.html_theme_options
    if options.get("repository_url"):
        options.update(dict.fromkeys(_BUTTONS, True))
        config.html_baseurl = config.html_baseurl or pages_address(options["repository_url"])
    else:
        options.pop("launch_buttons", None)


def pages_address(repository: str) -> str:
    """Where GitHub serves the pages of a repository; ``html: baseurl`` names another place.

    >>> pages_address("https://github.com/ada/facenet-book/")
    'https://ada.github.io/facenet-book/'
    """
    owner, name = repository.rstrip("/").split("/")[-2:]
    return f"https://{owner}.github.io/{name}/"


def _open_published_notebook(
    app: Any, page: str, template: str, context: dict[str, Any], doctree: Any
) -> None:
    branch = app.config.html_theme_options.get("repository_branch")
    for group in context.get("header_buttons", []):
        for button in group.get("buttons", []):
            if button.get("text") == "Colab":
                there = f"/blob/{PUBLISHED_BRANCH}/_sources/"
                button["url"] = button["url"].replace(f"/blob/{branch}/", there)


def _fill_in_library(app: Any, error: Exception | None) -> None:
    address = app.config.html_theme_options.get("repository_url")
    if error or not address or app.builder.format != "html":
        return
    branch = app.config.html_theme_options["repository_branch"]
    library = f"git+{address.rstrip('/')}@{_revision(app.srcdir) or branch}"
    for path in Path(app.outdir, "_sources").rglob("*.ipynb"):
        book = json.loads(path.read_text(encoding="utf-8"))
        for cell in book["cells"]:
            if cell.get("id") == COLAB_CELL:
                filled = f"LIBRARY = {json.dumps(library)}"
                cell["source"] = [line.replace(NO_ADDRESS, filled) for line in cell["source"]]
        path.write_text(json.dumps(book, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _revision(folder: str) -> str:
    """The revision that the pages are built from; nothing where git does not know."""
    try:
        asked = ["git", "rev-parse", "HEAD"]
        return subprocess.run(asked, cwd=folder, capture_output=True, text=True).stdout.strip()
    except OSError:  # no git
        return ""
