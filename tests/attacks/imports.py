"""What the process has imported, and compiled, from which runs are forked."""

import os

os.environ["KEDRO_ENV"] = "test"
os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np
import project
import umap
from kedro.framework.startup import bootstrap_project

import morphoclip.pipeline_registry as registry

bootstrap_project(project.PROJECT)
registry.register_pipelines()
umap.UMAP(n_neighbors=5, random_state=0, n_jobs=1, metric="cosine").fit(np.eye(40))
