"""torchmetrics without what nobody asked it for: `import torchmetrics` reads all of its metrics, and with those of text
and audio transformers and scipy.signal, more than two seconds, while Lightning and Ratchet want three names of it.

So its two outer packages run no sooner than something is asked of them that is not in HOMES. Nothing is hidden or
replaced: all else is answered as ever, later.
"""

import importlib
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib.machinery import ModuleSpec, PathFinder
from threading import RLock
from types import ModuleType
from typing import Any, cast

FIRST = "torchmetrics.utilities"  # its other modules can be imported in any order only after this one
# The names that are answered without the whole package, and the modules that hold them
HOMES = {
    "torchmetrics": {
        "__version__": "torchmetrics.__about__",
        "Metric": "torchmetrics.metric",
        "MetricCollection": "torchmetrics.collections",
        "MeanMetric": "torchmetrics.aggregation",
    },
    "torchmetrics.functional": {},
}
lock = RLock()


class Deferred(ModuleType):
    def __getattr__(self, name: str) -> Any:
        """Asked only for what the module does not hold yet; those inside it are imported as ever, past this."""
        if (home := HOMES[self.__name__].get(name)) is not None:
            with suppress(ImportError, AttributeError):  # of another version: its own __init__ knows
                setattr(self, name, getattr(importlib.import_module(home), name))
                return getattr(self, name)
        with lock:
            if isinstance(self, Deferred):  # else another thread has run it
                run(self)
        return getattr(self, name)


def run(package: ModuleType) -> None:
    package.__class__ = ModuleType
    spec: Any = package.__spec__  # of an imported package, which has one with its loader
    spec.loader.exec_module(package)


class Finder:  # of meta paths, and loader; importlib.abc would take a tenth of `ratchet runs`
    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name not in HOMES or (spec := PathFinder.find_spec(name, path, target)) is None:
            return None
        spec.loader_state, spec.loader = spec.loader, self  # type: ignore[assignment]  # in all but importlib.abc
        return spec

    def create_module(self, spec: ModuleSpec) -> None:
        """An ordinary module: the import system looks at its attributes while it fills them in."""

    def exec_module(self, module: ModuleType) -> None:
        spec = cast("ModuleSpec", module.__spec__)  # the import system has set it
        module.__loader__ = spec.loader = spec.loader_state  # the package's own
        module.__class__ = Deferred
        if spec.name == "torchmetrics":
            import logging

            module._logger = logging.getLogger(spec.name)  # type: ignore[attr-defined]  # FIRST asks for it
            try:
                importlib.import_module(FIRST)
            except ImportError:  # of another version, whose modules lean on each other otherwise
                for name in [name for name in sys.modules if name.startswith(f"{spec.name}.")]:
                    del sys.modules[name]
                run(module)


def defer() -> None:
    """For imports from now on; a package that is imported already stays as it is."""
    if not any(isinstance(finder, Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, Finder())
