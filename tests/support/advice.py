"""All that Ratchet advises to type, read from its source: after "Type: ", and whatever doctor gives as a command."""

import ast
import re
from collections.abc import Iterator

from tests.conftest import REPOSITORY

TYPED = re.compile(r"\btype: (?P<rest>.+?)(?=   \(|\n|$)", re.IGNORECASE)
COMMAND = re.compile(
    r"(apt-get|chmod|cp|dvc|du|echo|export|findmnt|git|grep|install|less|make|mkdir|mlflow|mv|nvidia-smi|openssl|pip|python|ratchet|rm|sudo|time|"
    r"unset|MLFLOW_TRACKING_URI=\S+) .+|nvidia-smi|.+ && (dvc|git|ratchet|rm|mv) .+"
)


def listed() -> dict[str, set[str]]:
    """File of pipeline/ → the commands that it advises, with what it fills in between braces."""
    found = {}
    for file in sorted((REPOSITORY / "pipeline").rglob("*.py")):
        name = str(file.relative_to(REPOSITORY / "pipeline"))
        texts = list(templates(ast.parse(file.read_text(encoding="utf-8"))))
        advised = {match["rest"] for text in texts for match in TYPED.finditer(text)}
        advised |= {text.partition("   (")[0] for text in texts if COMMAND.match(text)}
        if advised:
            found[name] = advised
    return found


def templates(node: ast.AST) -> Iterator[str]:
    """Every text in the source but the docstrings; of an f-string the whole."""
    if isinstance(node, ast.JoinedStr):
        yield "".join(
            one.value if isinstance(one, ast.Constant) else f"{{{ast.unparse(one.value)}}}" for one in node.values
        )
        return
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
        return
    body = getattr(node, "body", [])
    documented = isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node) is not None
    for child in ast.iter_child_nodes(node):
        if not (documented and child is body[0]):
            yield from templates(child)
