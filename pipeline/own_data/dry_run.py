"""What preprocess will keep, set apart or refuse of a person's own file: `ratchet init` does it once to know."""

import math
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.config.data import TableData, TextData, of_kind
from pipeline.config.schema import Config
from pipeline.datasets import table, text
from pipeline.project import paths
from pipeline.project.errors import DataError
from pipeline.store import preparing
from pipeline.store.assignment import assign
from pipeline.store.splits import Unusable, account, accounted, by_kind, told_equal

ALL = 0.9999  # share of rows that a rehearsal lets go
HALF = 0.5  # share of rows that a file may lose before its settings are wrong rather than its rows
MARGIN = 1.1  # of the share that is written, so that some more such rows do no harm


@dataclass(frozen=True)
class Account:
    counts: dict[str, Any]  # as splits.accounted has it
    unusable: list[Unusable]
    equal: dict[str, int]  # as table.equal_rows has it

    @property
    def share(self) -> float:
        """Of the rows that data.prepare.max_quarantined has to allow, a little more than are to be set apart."""
        return min(math.ceil(1e4 * MARGIN * len(self.unusable) / self.counts["in"]) / 1e4, ALL)

    def told(self) -> str:
        """ "2,000 rows in = 1,990 kept + 10 set apart", and what for."""
        lines = [account(self.counts), *by_kind({"the file": self.unusable})]
        if self.equal["rows"]:
            lines.append(f"  {told_equal(self.equal)} (data.prepare.duplicates: drop leaves the first)")
        return "\n".join(lines)


def rehearse(path: Path, config: Config) -> Account:
    """DataError for what preprocess would refuse; but for rows that can be set apart, which are counted."""
    data: TextData | TableData
    data = of_kind(config.data, TextData) if config.data.kind == "text" else of_kind(config.data, TableData)
    prepare = data.prepare.model_copy(update={"max_quarantined": ALL})
    config = config.model_copy(update={"data": data.model_copy(update={"prepare": prepare})})
    try:
        raw = Path(tempfile.mkdtemp(dir=paths.scratch()))
        (name,) = data.source.files
        (raw / name).symlink_to(path.resolve())
        found = of_texts(raw, config) if data.kind == "text" else of_table(raw, config)
    finally:
        preparing.clear_scratch()
    if len(found.unusable) > HALF * found.counts["in"]:
        raise DataError(
            f"most rows of {path} can't be used.\n{found.told()}\n"
            "Correct the file, name another target, or give those columns the type ignore in params.yaml"
        )
    return found


def of_table(raw: Path, config: Config) -> Account:
    done = table.prepare(raw, config)
    unusable = [row for split in done.splits.values() for row in split.quarantined]
    return Account(accounted(done), unusable, done.statistics["equal"])


def of_texts(raw: Path, config: Config) -> Account:
    """Up to the split; the encoder is fetched later."""
    data = of_kind(config.data, TextData)
    split = data.prepare.split
    corpus, blank = text.usable(raw, data)
    assign(corpus.targets, split.validation, split.test, corpus.groups, corpus.times)
    kept, bad = len(corpus.texts), len(corpus.unusable)
    counts = {"in": kept + bad + blank, "kept": kept, "quarantined": bad}
    return Account(counts | ({"dropped": {"blank": blank}} if blank else {}), corpus.unusable, {"rows": 0, "apart": 0})
