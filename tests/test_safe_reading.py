"""What no linter sees of how files are read (who may import whom: ``make contracts``)."""

import re

from project import PROJECT


def test_nothing_is_loaded_that_could_run() -> None:
    """Arguments that switch safety off, and numpy's left to its default."""
    unsafe = re.compile(
        r"allow_pickle\s*=\s*True|weights_only\s*=\s*False|trust_remote_code\s*=\s*T"
    )
    for path in (PROJECT / "src").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert not unsafe.search(text), path
        for call in re.finditer(r"np\.load\(", text):
            assert "allow_pickle=False" in text[call.start() : call.start() + 200], path
