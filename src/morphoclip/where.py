"""``python -m morphoclip.where``: where the demo's report lies, and how to look at a run."""

from pathlib import Path

from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project


def main() -> None:
    """Print the newest report of the demo and the commands that show the rest."""
    project = Path(__file__).resolve().parents[2]
    bootstrap_project(project)
    with KedroSession.create(project_path=project, env="demo") as session:
        report = session.load_context().catalog["report"]
    path = Path(str(report._get_load_path()))
    here = Path.cwd()
    print(
        f"""
The demo is done.
  report      {path.relative_to(here) if path.is_relative_to(here) else path}
  pipelines   .venv/bin/kedro viz          then http://127.0.0.1:4141
  runs        .venv/bin/kedro mlflow ui    then http://127.0.0.1:5000, view "Model training"
  again       .venv/bin/kedro run          (.env says KEDRO_ENV=demo; remove it for real data)
"""
    )


if __name__ == "__main__":
    main()
