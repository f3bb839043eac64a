"""What all scenes of one call of predict share: weights, what computes with them, output folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from detect.base.errors import InputError
from detect.base.files import sha256_of_parts
from detect.base.resources import package_version
from detect.census.plots import read_plots
from detect.census.profiles import StructureProfile, load_profile
from detect.network.cluster import DaskCluster
from detect.network.probabilities import Runner
from detect.network.runners import open_runner
from detect.network.weights import Weights, load_weights
from detect.results.folder import ResultFolder
from detect.results.remote import RemoteFolder, is_remote
from detect.runs.options import PredictOptions, Progress, silent
from detect.scene.scene import Scene


@dataclass(frozen=True)
class Job:
    """A call of predict, opened."""

    options: PredictOptions
    out: Path
    """Holds a folder per scene."""
    remote: RemoteFolder | None
    """Where results are copied to."""
    weights: Weights
    profile: StructureProfile
    runner: Runner
    """Computes blocks."""

    def folder(self, scene: Scene) -> ResultFolder:
        """Where the result of a scene goes."""
        return ResultFolder(self.out / scene.name)

    @property
    def draws(self) -> bool:
        """Whether a picture of the scene is wanted."""
        return not self.options.outputs or not {"report.html", "overview.png"}.isdisjoint(self.options.outputs)

    def report(self, scene: Scene) -> Progress:
        """Progress of one scene."""
        show = self.options.progress or silent
        return lambda stage, done, total: show(f"{scene.name}: {stage}", done, total)

    def key(self, scene: Scene, rivals: Sequence[str]) -> str:
        """Hash of everything that decides a result; ``rivals`` are the SHA-256 of the scenes that share its ground."""
        weights, options = self.weights, self.options
        decides = {
            "scene": [scene.sha256, scene.bands, scene.date, scene.sun, scene.gsd_rc_m],
            "weights": [
                weights.sha256,
                weights.card["thresholds"],
                weights.card["tile"],
                weights.card.get("calibration"),
                weights.stage_sha256,
                weights.stage_sure_from,
            ],
            "sites": None if options.sites is None else sha256_of_parts(Path(options.sites)),
            "propose_sites": options.propose_sites,
            "structure": asdict(self.profile),
            "params": options.deciding,
            "rivals": list(rivals),
            "version": package_version(),
        }
        return hashlib.sha256(json.dumps(decides, sort_keys=True, default=str).encode()).hexdigest()


@contextmanager
def open_job(out: str | Path, options: PredictOptions, processes: int = 1, runner: Runner | None = None) -> Iterator[Job]:
    """Load what a call needs and start its cluster, which ends with the context.

    Args:
        out: folder or URL of the results.
        options: those of the call.
        processes: how many processes share the cores.
        runner: computes blocks; None: what the options name.

    Raises:
        InputError: the weights, the profile, the sites or ``out`` cannot be used.
    """
    if not str(out):
        raise InputError("--out: is empty; name the folder for the results")
    weights = load_weights(options.weights)
    remote = RemoteFolder(str(out)) if is_remote(out) else None
    local = Path(out) if remote is None else remote.local
    if local.exists() and not local.is_dir():
        raise InputError(f"--out {local}: is a file; give a folder")
    if options.sites is not None:
        read_plots(options.sites)  # a wrong file is an error of the call, not of each scene
    with ExitStack() as cluster:
        yield Job(
            options=options,
            out=local,
            remote=remote,
            weights=weights,
            profile=load_profile(options.structure),
            runner=runner or _runner(weights, options, processes, cluster),
        )


def _runner(weights: Weights, options: PredictOptions, processes: int, opened: ExitStack) -> Runner:
    if options.dask is None:
        return open_runner(weights, options.device, workers=options.workers, tta=options.tta, processes=processes)
    cluster = DaskCluster(options.dask, weights, device=options.device, tta=options.tta, workers=options.workers)
    return opened.enter_context(cluster)
