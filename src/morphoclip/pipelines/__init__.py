"""The pipelines: wiring in pipeline.py, pure functions in nodes.py."""
