"""What code a stage runs, found by reading it: the modules of this package that it can import, and a digest of them.

An import in a function counts only if what was reached speaks of the function's name: a task's class has methods for
all stages, and train need not run again because of what evaluate alone imports. What a library may call by itself (a
method of a class with a base that nothing of ours names first) counts always.
"""

import ast
import hashlib
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from pipeline.project.files import digest

PACKAGE = Path(__file__).parents[1]
STAGES = ("download", "feedback", "preprocess", "train", "evaluate", "register")
UNSAID = {"ctx", "kind", "type_comment", "type_ignores"}  # of a syntax tree: they tell nothing that the rest does not
Target = str | re.Pattern[str]  # a module, or those that importlib.import_module(f"pipeline.models.{name}") can mean


def stage_digests(components: Collection[str]) -> dict[str, str]:
    """SHA-256 of the code of each stage; `components`: the names of a scenario's kind, task, net and data."""
    return {stage: stage_digest(stage, components) for stage in STAGES}


def stage_digest(stage: str, components: Collection[str]) -> str:
    """SHA-256 of all that `ratchet STAGE` can import; comments, docstrings and the layout of the text do not count."""
    return sources().stage_digest(stage, components)


@cache
def sources() -> "Sources":
    return Sources()


class Sources:
    """The modules of a package, each read once."""

    def __init__(self, package: Path = PACKAGE):
        self.name = package.name
        files = {file.relative_to(package.parent).with_suffix(""): file for file in package.rglob("*.py")}
        self.files = {".".join(path.parts).removesuffix(".__init__"): file for path, file in files.items()}
        self.read: dict[str, Module] = {}
        self.closures: dict[tuple[str, ...], list[str]] = {}

    def stage_digest(self, stage: str, components: Collection[str]) -> str:
        return digest({name: self.module(name).sha256 for name in self.closure(stage, components)})

    def closure(self, stage: str, components: Collection[str]) -> list[str]:
        """The modules, sorted by name."""
        key = (stage, *sorted(components))
        if key not in self.closures:
            self.closures[key] = sorted(self.reach(stage, {stage, *components}))
        return self.closures[key]

    def reach(self, stage: str, chosen: Collection[str]) -> set[str]:
        waiting, reached, words, own = {f"{self.name}.__main__", f"{self.name}.{stage}"}, set(), set(), set()
        later: list[tuple[str, Target]] = []
        while waiting:
            while waiting:
                name = waiting.pop()
                module = self.module(name)
                reached.add(name)
                words |= module.words
                own |= module.own
                later += module.later
                waiting |= {one for target in module.now for one in self.meant(target, chosen)} - reached
            run = [target for function, target in later if function in words or function not in own]
            waiting = {one for target in run for one in self.meant(target, chosen)} - reached
        return reached

    def meant(self, target: Target, chosen: Collection[str]) -> Iterator[str]:
        """The modules of an import, with the packages that hold them."""
        if isinstance(target, re.Pattern):
            found = [name for name in self.files if (match := target.fullmatch(name)) and match[1] in chosen]
        else:
            found = [target] if target in self.files else []
        for name in found:
            parts = name.split(".")
            yield from (".".join(parts[:length]) for length in range(1, len(parts) + 1))

    def module(self, name: str) -> "Module":
        if name not in self.read:
            self.read[name] = Module.of(name, self.files[name])
        return self.read[name]


@dataclass
class Module:
    """What is to be known of a file; `later`: (function, target) of the imports in functions."""

    package: str
    sha256: str = ""
    now: list[Target] = field(default_factory=list)
    later: list[tuple[str, Target]] = field(default_factory=list)
    words: set[str] = field(default_factory=set)  # names that it speaks of
    own: set[str] = field(default_factory=set)  # its functions, and the methods of classes without a base

    @classmethod
    def of(cls, name: str, file: Path) -> "Module":
        module = cls(name if file.name == "__init__.py" else name.rpartition(".")[0])
        said: list[str] = []
        module.walk(ast.parse(file.read_bytes()), None, said)
        module.sha256 = hashlib.sha256("\n".join(said).encode(errors="surrogatepass")).hexdigest()
        return module

    def walk(self, node: ast.AST, function: str | None, said: list[str]) -> None:
        """Adds to `said` the tree without places and docstrings, which is alike in all versions of Python.

        `function`: the outermost that the node stands in; a method is one.
        """
        if isinstance(node, ast.If) and is_for_types(node.test):
            for each in node.orelse:
                self.walk(each, function, said)
            return
        self.learn(node, function)
        if function is None and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            function = node.name
        said.append(type(node).__name__)
        for name in node._fields:
            values = getattr(node, name, None)
            if values is None or values == [] or name in UNSAID:
                continue
            said.append(name)
            for value in values if isinstance(values, list) else [values]:
                if not isinstance(value, ast.AST):
                    said.append(repr(value))
                elif not (isinstance(value, ast.Expr) and isinstance(value.value, ast.Constant)):  # a docstring
                    self.walk(value, function, said)

    def learn(self, node: ast.AST, function: str | None) -> None:
        if isinstance(node, ast.Name):
            self.words.add(node.id)
        elif isinstance(node, ast.Attribute):
            self.words.add(node.attr)
        elif isinstance(node, ast.Constant):
            if isinstance(node.value, str):
                self.words.add(node.value)
                if node.value.startswith(PACKAGE.name):  # python -m pipeline.…, or module:attribute
                    self.note([node.value.partition(":")[0]], function)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            self.words |= {alias.name for alias in node.names}
            self.note(imported(node, self.package), function)
        elif isinstance(node, ast.Module) or (isinstance(node, ast.ClassDef) and not node.bases):
            self.own |= {each.name for each in node.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)}
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "import_module":
            self.note([pattern(name) for name in node.args[:1] if isinstance(name, ast.JoinedStr)], function)

    def note(self, targets: list[Target], function: str | None) -> None:
        if function is None or (function.startswith("__") and function.endswith("__")):
            self.now += targets
        else:
            self.later += [(function, target) for target in targets]


def is_for_types(test: ast.expr) -> bool:
    return getattr(test, "attr", getattr(test, "id", None)) == "TYPE_CHECKING"


def imported(node: ast.Import | ast.ImportFrom, package: str) -> list[Target]:
    names = [alias.name for alias in node.names]
    if isinstance(node, ast.Import):
        return list(names)
    parts = package.split(".")
    above = parts[: len(parts) - node.level + 1] if node.level else []
    home = ".".join([*above, *([node.module] if node.module else [])])
    return [home, *(f"{home}.{name}" for name in names)]


def pattern(text: ast.JoinedStr) -> re.Pattern[str]:
    parts = [re.escape(str(each.value)) if isinstance(each, ast.Constant) else r"(\w+)" for each in text.values]
    return re.compile("".join(parts))
