"""Where a measurement was made: processor, system, versions, load."""

import importlib.metadata
import os
import platform
import sys
from collections.abc import Callable
from typing import TypeVar

from ghostnet_tf import results
from ghostnet_tf.training.metrics import processor

Result = TypeVar("Result")


def machine() -> dict[str, object]:
    """Processor, its cores, system, load, and the versions of Python, of LiteRT, and of TensorFlow if it is in use.

    `load` is the mean number of programs that wanted a processor in the last minute, `None` where unknown.
    """
    packages = ["ghostnet-tf", "ai-edge-litert", "numpy"] + ["tensorflow"] * ("tensorflow" in sys.modules)
    return {
        "cpu": processor(),
        "cores": os.cpu_count(),
        "architecture": platform.machine(),
        "system": platform.platform(),
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in packages},
    }


def measured(measure: Callable[[], Result]) -> tuple[Result, dict[str, str]]:
    """What `measure` gives, and columns of a table of results that say when and where that was.

    Returns:
        The result; `date` (of the end), `load` (before and after, `0.5-1.2`), `cpu` and `ai_edge_litert`, its version.
    """
    before = machine()["load"]
    result = measure()
    here = machine()
    versions = here["versions"]
    columns = {"date": results.now(), "load": f"{before}-{here['load']}", "cpu": here["cpu"]}
    return result, columns | {"ai_edge_litert": versions["ai-edge-litert"]}


def _version(name: str) -> str:
    if name == "ghostnet-tf":
        from ghostnet_tf import __version__

        return __version__
    return importlib.metadata.version(name)
