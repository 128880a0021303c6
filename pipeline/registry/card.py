"""The model card: what a version is, what made it, what it scores; Markdown, shown by MLflow as its description."""

from typing import Any


def card(
    scenario: str, spec: dict[str, Any], metrics: dict[str, float], run: dict[str, Any], lineage: dict[str, str]
) -> str:
    splits = "\n".join(
        f"| {name} | {split['rows']:,} | {split['quarantined']:,} |" for name, split in sorted(spec["splits"].items())
    )
    scores = "\n".join(f"| {name} | {value:.4f} |" for name, value in sorted(metrics.items()) if name.count("/") == 1)
    weakest = sorted(
        (value, name.rpartition("/")[2]) for name, value in metrics.items() if name.startswith("test/recall/")
    )[:3]
    slices = ", ".join(f"{label} ({value:.4f})" for value, label in weakest)
    best = run["best"]
    return f"""# {scenario}

**Task.** Classes {", ".join(spec["classes"])} from {spec["kind"]} data `{spec["data"]}`, \
inputs {tuple(spec["inputs"]["shape"])} of {spec["inputs"]["dtype"]}.

**Data.** Fingerprint `{spec["fingerprint"]}`; {spec["counts"]["in"]:,} rows read, \
{spec["counts"]["quarantined"]:,} quarantined.

| split | rows | quarantined |
|---|---|---|
{splits}

**Test split.** Lowest recall: {slices}.

| metric | value |
|---|---|
{scores}

**Training.** Best of {len(run["history"])} epochs by {best["monitor"]}: {best["value"]:.4f} after epoch \
{best["epoch"]}. Config hash `{run["config_hash"]}`, run `{run["run_id"]}`, commit `{lineage["git.commit"]}` \
(dirty: {lineage["git.dirty"]}).

**Limits.** Measured on the published test split alone: expect less on data that was collected otherwise.

**Again.** `git checkout {lineage["git.commit"]} && dvc repro`
"""
