"""What a verb does not need it does not import: start-up is most of what a short verb takes."""

import subprocess
import sys

from tests.conftest import lean

TRAINER = ("pytorch_lightning", "lightning_fabric", "torch._dynamo")
OPTIONAL = ("transformers", "scipy.signal", "torchmetrics.text", "torchmetrics.audio")  # of torchmetrics' other metrics
VERB = "import sys; from pipeline.__main__ import main; code = main(sys.argv[1:]); print(*sys.modules); sys.exit(code)"


def modules(project, *arguments: str, code: str = VERB) -> tuple[set[str], str]:
    """What is imported at the end of a verb in a process of its own, and what it printed."""
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, cwd=project, env=lean(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    said, _, loaded = done.stdout.strip().rpartition("\n")
    return set(loaded.split()), said


def test_only_a_training_imports_lightning_and_nothing_imports_what_no_metric_here_needs(prepared):
    modules(prepared, "compose")  # the gate of these settings, for promote
    loaded, _ = modules(prepared, "train")
    assert {"pytorch_lightning", "torchmetrics"} <= loaded
    assert not loaded & {*OPTIONAL, "mlflow"}
    loaded, said = modules(prepared, "train")
    assert "its result is reused" in said
    assert not loaded & {*TRAINER, *OPTIONAL, "torchmetrics", "matplotlib", "mlflow"}
    loaded, _ = modules(prepared, "evaluate")
    assert {"torch", "torchmetrics"} <= loaded
    assert not loaded & {*TRAINER, *OPTIONAL, "mlflow"}
    loaded, said = modules(prepared, "register")
    assert "is version 1" in said
    assert not loaded & {*TRAINER, *OPTIONAL, "torchmetrics"}
    loaded, said = modules(prepared, "promote")
    assert "promoted" in said
    assert not loaded & {*TRAINER, *OPTIONAL, "torchmetrics"}
    for verb, known in (("register", "was version 1"), ("promote", "is champion already")):
        loaded, said = modules(prepared, verb)
        assert known in said
        assert "torch" not in loaded


def test_a_verb_without_a_net_imports_no_torch(prepared):
    for verb in ("compose", "download", "feedback --bring", "preprocess", "runs", "history"):
        loaded, _ = modules(prepared, *verb.split())
        assert not loaded & {"torch", "torchmetrics", *TRAINER, *OPTIONAL}, verb


def test_torchmetrics_answers_all_that_it_would_without_being_deferred(tmp_path):
    begin = "from pipeline.project.deferred import defer; defer(); import sys, torchmetrics; "
    short = "from torchmetrics import Metric, MetricCollection, MeanMetric; torchmetrics.__version__; "
    later = "assert torchmetrics.SacreBLEUScore and torchmetrics.functional.bleu_score; import torchmetrics.text; "
    same = "assert torchmetrics.metric.Metric is torchmetrics.Metric is Metric; "
    loaded, _ = modules(tmp_path, code=f"{begin}{short}print(*sys.modules)")
    assert not loaded & {*OPTIONAL}
    loaded, _ = modules(tmp_path, code=f"{begin}{short}{later}{same}print(*sys.modules)")
    assert {"torchmetrics.text", "scipy.signal"} <= loaded


def test_a_torchmetrics_put_together_otherwise_is_imported_as_it_is(tmp_path):
    package = tmp_path / "torchmetrics"
    package.mkdir()
    (package / "__init__.py").write_text(
        "import torchmetrics.base as base\nbase.ready = 1\nimport torchmetrics.utilities\n"
    )
    (package / "base.py").write_text("")
    (package / "utilities.py").write_text("from torchmetrics.base import ready\n")
    code = "import sys; sys.path.insert(0, '.'); from pipeline.project.deferred import defer; defer(); "
    code += "import torchmetrics; assert torchmetrics.utilities.ready == 1; print(*sys.modules)"
    assert "torchmetrics.utilities" in modules(tmp_path, code=code)[0]
