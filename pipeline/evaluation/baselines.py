"""What needs no net: each baseline gives outputs as a bundle does, so that the same code scores it.

Pictures have the majority class alone: what would be more honest takes longer than seconds (logistic regression on
MNIST's pixels), or is a net.
"""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pipeline.evaluation.ranking import popularity
from pipeline.evaluation.scoring import OutputsOf
from pipeline.kinds.encoding import decode
from pipeline.kinds.kind import of
from pipeline.tasks import task as tasks
from pipeline.tasks.ranking import CELLS

MOST_CLASSES = 50  # beyond, a fitted baseline takes more than seconds
ROUNDS, TREES = 100, 500  # of boosting; of all rounds and classes together
MOST_CODES = 255  # of a column that scikit-learn's boosting takes for categories
TEXTS = 200_000  # of all classes together: a linear model of texts takes as long as both are many
FEATURES = 100_000  # words and pairs of words
SURE = 1e-7  # the least probability that a baseline gives, so that its logits are finite
PENALTY = 100.0  # λ
MOST_ITEMS = 5000  # beyond, the inverse of an items × items matrix takes more than seconds
SEED = 0  # of the choice of rows and of scikit-learn; not the run's seed, for a baseline is the same for all nets

TF_IDF, BOOSTING = "tf_idf", "boosting"
# Scripts that write no spaces between words: Thai, Lao, Burmese, Khmer, kana and Chinese characters
UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
WORD = rf"[{UNSPACED}]|[^\W{UNSPACED}]+"  # there a character is one; words of one letter too

Split = dict[str, Tensor]
Texts = tuple[dict[int, str], list[str]]  # as records.texts has them


def baselines(
    encoder: dict[str, Any], load_train: Callable[[], Split], test: Split, rows: int, texts: Texts | None = None
) -> dict[str, OutputsOf]:
    """Name → outputs for inputs (B, …), as Bundle.outputs gives them; fitted on at most `rows` rows of train.

    Those of a ranking are fitted on the histories in the test inputs: all that the users did before the item asked for.
    TF_IDF reads `texts`, those of train by their rows and those of test: its inputs are then places (B,) in the test
    split; without them it reads what the net's tokens say.
    """
    task = tasks.of(encoder)
    if task.history:
        return of_ranking(test["inputs"], len(encoder["labels"]))
    train = load_train()
    if task.numeric:
        simple = {"mean": lambda inputs: torch.zeros(len(inputs), 1)}
    else:
        simple = {"majority": majority(train["targets"], len(encoder["labels"]))}
    classes, fitted = len(encoder["labels"]), of(encoder).baseline
    seen = some(train, min(rows, TEXTS // max(1, classes)) if fitted == TF_IDF else rows)
    kinds = seen["targets"].unique()  # type: ignore[no-untyped-call]  # torch leaves it untyped
    if fitted is None or classes > MOST_CLASSES or len(kinds) < 2:
        return simple
    return simple | FITTED[fitted](encoder, seen, texts)


def of_ranking(histories: Tensor, items: int) -> dict[str, OutputsOf]:
    counts = popularity(histories, items).float()
    found: dict[str, OutputsOf] = {"popularity": lambda inputs: counts.expand(len(inputs), -1)}
    if items <= MOST_ITEMS:
        found["ease"] = ease(histories, items)
    return found


def majority(targets: Tensor, classes: int) -> OutputsOf:
    """Each class as probable as it is frequent in train, so the most frequent is always predicted."""
    counts = torch.bincount(targets, minlength=classes)
    logits = (counts / counts.sum()).clamp(min=SURE).log()
    return lambda inputs: logits.expand(len(inputs), -1)


def some(split: Split, rows: int) -> Split:
    """At most `rows` of the split's rows, drawn evenly, in their order."""
    if len(split["targets"]) <= rows:
        return split
    drawn = np.random.default_rng(SEED).choice(len(split["targets"]), rows, replace=False)
    chosen = torch.from_numpy(np.sort(drawn))
    return {name: tensor[chosen] for name, tensor in split.items()}


def of_text(encoder: dict[str, Any], train: Split, texts: Texts | None) -> dict[str, OutputsOf]:
    """Words and pairs of words, weighted (TF-IDF), and a linear model on them."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.pipeline import make_pipeline

    seen = decode(encoder, train["inputs"].numpy())
    if texts:
        seen = [texts[0].get(row, said) for row, said in zip(train["rows"].tolist(), seen, strict=True)]
    if not any(re.search(r"\w", text) for text in seen):
        return {}
    words = TfidfVectorizer(ngram_range=(1, 2), token_pattern=WORD, sublinear_tf=True, max_features=FEATURES)
    linear = Ridge(solver="sparse_cg") if tasks.of(encoder).numeric else LogisticRegression(C=4.0, max_iter=1000)
    model = make_pipeline(words, linear).fit(seen, wanted(encoder, train))

    def asked(inputs: np.ndarray) -> list[str]:
        return [texts[1][place] for place in inputs] if texts else decode(encoder, inputs)

    return {TF_IDF: outputs_of(encoder, model, asked)}


def of_table(encoder: dict[str, Any], train: Split, texts: Texts | None) -> dict[str, OutputsOf]:
    """Gradient-boosted trees with scikit-learn's own settings; fewer rounds where each grows a tree for every class."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    kind = HistGradientBoostingRegressor if tasks.of(encoder).numeric else HistGradientBoostingClassifier
    classes = len(encoder["labels"])
    model = kind(
        max_iter=min(ROUNDS, TREES // classes) if classes > 2 else ROUNDS,
        categorical_features=categorical(encoder),
        early_stopping=False,  # which would need two rows of each class
        random_state=SEED,
    )
    model.fit(train["inputs"].numpy(), wanted(encoder, train))
    return {BOOSTING: outputs_of(encoder, model, lambda given: given)}


FITTED = {TF_IDF: of_text, BOOSTING: of_table}


def categorical(encoder: dict[str, Any]) -> list[int]:
    """Inputs that are codes of categories, the last ones; those of too many values are taken for numbers."""
    sizes = [len(column["values"]) + 1 for column in encoder["columns"] if column["type"] == "category"]
    first = encoder["shape"][0] - len(sizes)
    return [first + place for place, size in enumerate(sizes) if size <= MOST_CODES]


def wanted(encoder: dict[str, Any], train: Split) -> np.ndarray:
    """Targets as a net learns them: classes, or numbers in standard deviations."""
    targets = train["targets"].numpy()
    if not tasks.of(encoder).numeric:
        return targets
    return (targets.astype(np.float64) - encoder["target"]["mean"]) / encoder["target"]["std"]


def outputs_of(encoder: dict[str, Any], model: Any, records_of: Callable[[np.ndarray], Any]) -> OutputsOf:
    """A fitted scikit-learn model as a bundle's outputs; a class that its rows lacked is never predicted."""

    def predicted(inputs: Tensor) -> Tensor:
        return torch.from_numpy(model.predict(records_of(inputs.numpy()))).float().reshape(-1, 1)

    def logits(inputs: Tensor) -> Tensor:
        found = torch.full((len(inputs), len(encoder["labels"])), SURE, dtype=torch.float64)
        found[:, torch.from_numpy(model.classes_)] = torch.from_numpy(model.predict_proba(records_of(inputs.numpy())))
        return found.clamp(min=SURE).log()

    return predicted if tasks.of(encoder).numeric else logits


def presence(histories: Tensor, items: int) -> Tensor:
    """(B, items) float32: 1 where the item stands in the history, (B, L) of index + 1, 0 empty."""
    table = torch.zeros(len(histories), items + 1)
    return table.scatter_(1, histories.long(), 1.0)[:, 1:]


def ease(histories: Tensor, items: int) -> OutputsOf:
    """Embarrassingly shallow autoencoders (Steck 2019, arXiv:1905.03375): one linear map, in closed form."""
    together = torch.zeros(items, items, dtype=torch.float64)
    for part in torch.split(histories, max(1, CELLS // items)):
        table = presence(part, items).double()
        together += table.T @ table  # (items, items): histories that hold both
    inverse = torch.linalg.inv(together + PENALTY * torch.eye(items, dtype=torch.float64))
    weights = -inverse / inverse.diagonal()  # of each column: what the other items say of it
    weights.fill_diagonal_(0.0)
    weights = weights.float()
    return lambda inputs: presence(inputs, items) @ weights
