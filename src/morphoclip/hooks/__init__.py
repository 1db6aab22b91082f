"""Project hooks, called by Kedro before, during and after a run."""
