"""``python -m morphoclip``: run the project's pipelines as ``kedro run`` does."""

import sys
from pathlib import Path

from kedro.framework.project import configure_project

from morphoclip.cli import run


def main() -> None:
    """Entry point of the packaged project."""
    configure_project(Path(__file__).parent.name)
    run(sys.argv[1:], prog_name="morphoclip")


if __name__ == "__main__":
    main()
