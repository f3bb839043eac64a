"""Open networks with ONNX Runtime on the CPU: the same answers each time, quiet, and one line where it cannot."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from detect.base.errors import InputError


@contextmanager
def loading(file: object) -> Iterator[None]:
    """Turn errors of loading a network into one line that names its file.

    Raises:
        InputError: ONNX Runtime or onnx cannot load it.
    """
    try:
        yield
    except Exception as cause:  # the exceptions of ONNX Runtime have no common base class
        raise InputError(f"{file}: ONNX Runtime cannot load it ({' '.join(str(cause).split())[:200]})") from cause


def cpu_session(model: Any, threads: int | None, *, spins: bool = True, **switches: bool) -> Any:
    """A session that computes on the CPU.

    Args:
        model: path or bytes of an ONNX file.
        threads: per forward pass; None or 0: all cores.
        spins: whether threads wait for work by spinning, which is faster and takes a core each from other work.
        switches: fields of ``onnxruntime.SessionOptions``.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.use_deterministic_compute = True
    if threads:
        options.intra_op_num_threads = threads
    if not spins:
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    for name, value in switches.items():
        setattr(options, name, value)
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
