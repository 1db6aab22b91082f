"""Every parameter in conf/ is typed and read, every catalog entry is used and has a layer."""

import pytest
from kedro.framework.project import pipelines
from project import Workspace
from pydantic import BaseModel


@pytest.fixture(scope="module")
def context(tmp_path_factory):
    return Workspace(tmp_path_factory.mktemp("registry")).context()


def test_every_parameter_is_a_typed_model(context) -> None:
    untyped = [key for key, value in context.params.items() if not isinstance(value, BaseModel)]
    assert not untyped, f"parameters no node types: {untyped}"


def test_every_default_stands_in_conf(context) -> None:
    written = context.config_loader["parameters"]
    absent = [
        f"{group}.{field}"
        for group, model in context.params.items()
        if group != "demo_gallery"
        for field in type(model).model_fields
        if field not in written[group]
    ]
    assert not absent, f"parameters users cannot see in conf/base: {absent}"


def test_every_catalog_entry_is_used(context) -> None:
    used = {name.split("@")[0] for p in pipelines.values() for name in p.datasets()}
    unused = {n for n in context.config_loader["catalog"] if not n.startswith("_")} - used
    assert not unused, f"catalog entries no pipeline uses: {sorted(unused)}"


def test_every_catalog_entry_has_a_layer(context) -> None:
    bare = [
        name
        for name, entry in context.config_loader["catalog"].items()
        if not name.startswith("_") and "layer" not in entry["metadata"].get("kedro-viz", {})
    ]
    assert not bare, f"catalog entries kedro viz cannot place: {bare}"


def test_every_raw_input_says_what_belongs_there(context) -> None:
    entries = context.config_loader["catalog"]
    raw = {n for name in ("__default__", "profiles") for n in pipelines[name].inputs()}
    silent = [
        name
        for name in raw
        if name in entries
        and entries[name].get("must_exist", True)
        and entries[name]["metadata"]["kedro-viz"]["layer"] == "raw"
        and "what" not in entries[name]["metadata"].get("morphoclip", {})
    ]
    assert not silent
