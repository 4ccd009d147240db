"""Sphinx's settings. The source folder is the repository: links to pages and code are as GitHub has them."""

project = "mobile-engagement-export"
extensions = ["myst_parser", "scripts.docs_site.navigation", "scripts.docs_site.source_pages"]

root_doc = "README"
include_patterns = ["*.md", "docs/**.md", "devhost/*.md", "devhost/docs/**.md"]
exclude_patterns = [".venv", ".run", ".devhost", "build", "dist", "node_modules"]

# Anchors of headings, as GitHub makes them.
myst_heading_anchors = 6
nitpicky = True

html_theme = "pydata_sphinx_theme"
html_title = project
html_copy_source = False
html_show_sourcelink = False
html_show_copyright = False
html_show_sphinx = False
html_additional_pages = {"index": "index.html"}
templates_path = ["templates"]
html_static_path = ["static"]
html_css_files = ["site.css"]
html_theme_options = {
    "footer_start": [],
    "footer_end": [],
    "header_links_before_dropdown": 6,
    "navigation_with_keys": False,
    "search_bar_text": "Search these pages",
    "secondary_sidebar_items": ["page-toc"],
}
