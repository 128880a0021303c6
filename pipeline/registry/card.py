"""The model card: what a version is, what made it, what it scores; Markdown, shown by MLflow as its description."""

from typing import Any

NAMED = 20  # classes that the card names
WEAKEST = 3


def card(
    scenario: str, spec: dict[str, Any], metrics: dict[str, float], run: dict[str, Any], lineage: dict[str, str]
) -> str:
    """`metrics` as in reports/metrics.json: test/NAME, test/NAME/CLASS and baseline/BASELINE/NAME."""
    splits = "\n".join(
        f"| {name} | {split['rows']:,} | {split['quarantined']:,} |" for name, split in sorted(spec["splits"].items())
    )
    best = run["best"]
    return f"""# {scenario}

**Task.** {task(spec)} from {spec["kind"]} data `{spec["data"]}`, \
inputs {tuple(spec["inputs"]["shape"])} of {spec["inputs"]["dtype"]}.

**Data.** Fingerprint `{spec["fingerprint"]}`; {spec["counts"]["in"]:,} rows read, \
{spec["counts"]["quarantined"]:,} quarantined.

| split | rows | quarantined |
|---|---|---|
{splits}

**Test split.** {weakest(metrics)}

{scores(metrics)}

**Training.** Best of {len(run["history"])} epochs by {best["monitor"]}: {best["value"]:.4f} after epoch \
{best["epoch"]}. Config hash `{run["config_hash"]}`, run `{run["run_id"]}`, commit `{lineage["git.commit"]}` \
(dirty: {lineage["git.dirty"]}).

**Limits.** Measured on this test split alone: expect less on data that was collected otherwise.

**Again.** `git checkout {lineage["git.commit"]} && dvc repro`
"""


def task(spec: dict[str, Any]) -> str:
    if spec["task"] != "classification":
        return {"regression": "A number", "ranking": "A ranked list of items"}[spec["task"]]
    named, more = spec["classes"][:NAMED], len(spec["classes"]) - NAMED
    return f"Classes {', '.join(named)}{f' and {more:,} more' if more > 0 else ''}"


def weakest(metrics: dict[str, float]) -> str:
    recalls = {name.rpartition("/")[2]: value for name, value in metrics.items() if name.startswith("test/recall/")}
    if not recalls:
        return f"{metrics['test/count']:,.0f} rows."
    worst = sorted(recalls, key=lambda name: (recalls[name], name))[:WEAKEST]
    return f"{metrics['test/count']:,.0f} rows. Lowest recall: " + ", ".join(f"{n} ({recalls[n]:.4f})" for n in worst)


def scores(metrics: dict[str, float]) -> str:
    """The table of metrics, the model beside its baselines."""
    baselines = dict.fromkeys(name.split("/")[1] for name in sorted(metrics) if name.startswith("baseline/"))
    names = [name.partition("/")[2] for name in sorted(metrics) if name.startswith("test/") and name.count("/") == 1]
    lines = [f"| metric | model |{''.join(f' {one} |' for one in baselines)}", f"|---|---|{'---|' * len(baselines)}"]
    for name in names:
        cells = [metrics[f"test/{name}"], *(metrics.get(f"baseline/{one}/{name}") for one in baselines)]
        lines.append(f"| {name} | {' | '.join('' if cell is None else f'{cell:.6g}' for cell in cells)} |")
    return "\n".join(lines)
