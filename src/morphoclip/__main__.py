"""``morphoclip``: commands that need no project; anything else runs pipelines as ``kedro run``."""

import sys
from pathlib import Path

from morphoclip.terminal.explore import explore
from morphoclip.terminal.search import search
from morphoclip.terminal.worker import worker

WITHOUT_PROJECT = {"search": search, "explore": explore, "worker": worker}
"""Commands that need no project."""


def main() -> None:
    """Entry point of the installed package."""
    if len(sys.argv) > 1 and sys.argv[1] in WITHOUT_PROJECT:
        WITHOUT_PROJECT[sys.argv[1]](sys.argv[2:], prog_name=f"morphoclip {sys.argv[1]}")
        return
    from kedro.framework.project import configure_project

    from morphoclip.cli import run

    configure_project(Path(__file__).parent.name)
    run(sys.argv[1:], prog_name="morphoclip")


if __name__ == "__main__":
    main()
