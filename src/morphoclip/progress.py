"""Progress bars belong to nodes, and to people who watch."""

import sys

SILENT = not sys.stderr.isatty()
"""True where nobody watches: no bar is drawn into a file."""
