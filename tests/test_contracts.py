"""The architecture is what it says: who may import whom."""

import re

from importlinter.cli import EXIT_STATUS_SUCCESS, lint_imports
from project import PROJECT


def test_kedro_stays_at_the_rim_and_data_flow_one_way(capsys) -> None:
    assert lint_imports(config_filename="pyproject.toml") == EXIT_STATUS_SUCCESS, (
        capsys.readouterr().out
    )


def test_nothing_is_loaded_that_could_run() -> None:
    """What the linter cannot see: arguments that switch safety off, and numpy's left to default."""
    unsafe = re.compile(
        r"allow_pickle\s*=\s*True|weights_only\s*=\s*False|trust_remote_code\s*=\s*T"
    )
    for path in (PROJECT / "src").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert not unsafe.search(text), path
        for call in re.finditer(r"np\.load\(", text):
            assert "allow_pickle=False" in text[call.start() : call.start() + 200], path
