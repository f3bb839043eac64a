"""Every YAML in configs/ is safe to load and means something to what reads it."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

CONFIGS = Path(__file__).resolve().parents[2] / "configs"


def _ids(paths: list[Path]) -> list[str]:
    return [str(path.relative_to(CONFIGS)) for path in paths]


ALL = sorted(CONFIGS.rglob("*.yaml"))
FIT = sorted((CONFIGS / "fit").glob("*.yaml"))
STAGES = sorted((CONFIGS / "stages").glob("*.yaml"))
STRUCTURES = sorted((CONFIGS / "structures").glob("*.yaml"))


def test_what_the_commands_start_from_is_there() -> None:
    assert {"fit/smoke.yaml", "structures/dormitory.yaml"} <= set(_ids(ALL))


@pytest.mark.parametrize("path", ALL, ids=_ids(ALL))
def test_loads_safely(path: Path) -> None:
    assert isinstance(yaml.safe_load(path.read_text(encoding="utf-8")), dict)


@pytest.mark.parametrize("path", FIT, ids=_ids(FIT))
def test_recipe_is_accepted(path: Path) -> None:
    from detect.training.config import load_config

    assert load_config(path).steps >= 1


@pytest.mark.parametrize("path", STRUCTURES, ids=_ids(STRUCTURES))
def test_structure_profile_is_accepted(path: Path) -> None:
    from detect.census.profiles import load_profile

    load_profile(path)


@pytest.mark.parametrize("path", STAGES, ids=_ids(STAGES))
def test_stage_recipe_is_accepted(path: Path) -> None:
    from scripts.fit_stage_head import recipe_of

    recipe = recipe_of(path)
    drawn = range(recipe.drawn.first_seed, recipe.drawn.first_seed + recipe.drawn.scenes)
    assert drawn.start > 2200, "benchmarks/census.py counts and tests on the seeds before"
