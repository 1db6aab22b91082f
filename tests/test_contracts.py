"""The architecture is what it says: who may import whom."""

from importlinter.cli import EXIT_STATUS_SUCCESS, lint_imports


def test_kedro_stays_at_the_rim_and_data_flow_one_way(capsys) -> None:
    assert lint_imports(config_filename="pyproject.toml") == EXIT_STATUS_SUCCESS, (
        capsys.readouterr().out
    )
