"""The registry knows each data set of the folder."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

import detect.datasets
from detect.datasets.registry import ADAPTERS


def test_each_module_with_a_data_set_is_registered_once_under_its_name() -> None:
    modules = [import_module(f"detect.datasets.{found.name}") for found in iter_modules(detect.datasets.__path__)]
    declared = {module.__name__.rpartition(".")[2]: module.DATA_SET.name for module in modules if hasattr(module, "DATA_SET")}
    assert sorted(declared) == sorted(ADAPTERS)
    assert all(name == module for module, name in declared.items())
