"""What a study's trials say, as the report tells and draws it."""

import math
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

ENOUGH = 5  # complete trials, before importances mean anything
FITTED = 300  # trials for the importances' forest: 1,000 would take it 4.5 s
LINES = 200  # trials in parallel coordinates: more are a carpet, which a browser draws slowly


@dataclass
class Parameter:
    """A setting that was searched, and the axis on which its values lie."""

    name: str
    distribution: BaseDistribution

    @cached_property
    def labels(self) -> list[str]:
        """Of each choice; empty for numbers."""
        return [str(one) for one in getattr(self.distribution, "choices", ())]

    @property
    def log(self) -> bool:
        return getattr(self.distribution, "log", False)

    def place(self, value: Any) -> float:
        """A choice's is its number, for True and 1 are not the same choice."""
        if isinstance(self.distribution, CategoricalDistribution):
            return self.distribution.to_internal_repr(value)
        return float(value)


@dataclass
class Findings:
    """`refusals`: figure → why it can't be drawn."""

    study: Study
    about: dict[str, Any]  # the study's user attributes
    objectives: list[str]
    directions: list[StudyDirection]
    trials: list[FrozenTrial]
    complete: list[FrozenTrial]  # with finite values
    best: list[FrozenTrial]  # one, or the Pareto front
    parameters: list[Parameter]
    importances: dict[str, dict[str, float]] = field(default_factory=dict)  # objective → setting → share of variance
    refusals: dict[str, str] = field(default_factory=dict)

    @property
    def counts(self) -> dict[str, int]:
        counted = Counter(trial.state.name for trial in self.trials)
        return {state.name: counted[state.name] for state in TrialState if counted[state.name]}

    @property
    def seconds(self) -> float:
        return sum(trial.user_attrs.get("seconds", 0.0) for trial in self.trials)

    def lower(self, objective: int) -> bool:
        return self.directions[objective] == StudyDirection.MINIMIZE

    def sample(self, most: int) -> list[FrozenTrial]:
        """At most about `most` complete trials: the best, and as many others, evenly over time."""
        if len(self.complete) <= most:
            return self.complete
        chosen = {self.complete[index].number for index in np.linspace(0, len(self.complete) - 1, most).astype(int)}
        chosen |= {trial.number for trial in self.best}
        return [trial for trial in self.complete if trial.number in chosen]


def among(trials: Sequence[FrozenTrial], objectives: list[str], directions: list[StudyDirection]) -> Study:
    """A study in memory of these trials alone, which Optuna numbers anew: for its own figures and measures."""
    study = optuna.create_study(directions=directions)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        study.set_metric_names(objectives)
    study.add_trials(trials)
    return study


def find(study: Study) -> Findings:
    trials, about = study.get_trials(deepcopy=False), study.user_attrs
    objectives, directions = about["objectives"], study.directions
    complete = [one for one in trials if one.state == TrialState.COMPLETE and all(map(math.isfinite, one.values))]
    best = [complete[one.number] for one in among(complete, objectives, directions).best_trials] if complete else []
    found = Findings(study, about, objectives, directions, trials, complete, best, searched(complete))
    found.refusals = refusals(found)
    if "importances" not in found.refusals:
        try:
            found.importances = importances(found)
        except RuntimeError as error:  # scores that no tree of the forest can tell apart
            found.refusals["importances"] = str(error)
    return found


def searched(trials: Sequence[FrozenTrial]) -> list[Parameter]:
    """The settings that took more than one value, in the order of the space."""
    distributions = {name: one for trial in trials for name, one in trial.distributions.items()}
    values = {name: {repr(trial.params[name]) for trial in trials if name in trial.params} for name in distributions}
    return [Parameter(name, one) for name, one in distributions.items() if len(values[name]) > 1]


def refusals(found: Findings) -> dict[str, str]:
    known, several = len(found.complete), len(found.objectives)
    if known < 2:
        why = f"it needs two complete trials; there {'is' if known == 1 else 'are'} {known or 'none'}"
        return dict.fromkeys(("pareto", "history", "importances", "slices", "parallel"), why)
    refused = {} if several in (2, 3) else {"pareto": f"two or three objectives can be drawn; there are {several}"}
    if not found.parameters:
        why = "all complete trials had the same settings"
        return refused | dict.fromkeys(("importances", "slices", "parallel"), why)
    if known < ENOUGH:
        refused["importances"] = f"it needs {ENOUGH} complete trials; there are {known}"
    elif not common(found):
        refused["importances"] = "no setting varies that all complete trials have"
    elif not any(differs(found.sample(FITTED), number) for number in range(several)):
        refused["importances"] = "all complete trials scored the same"
    return refused


def common(found: Findings) -> list[str]:
    """What varies among the complete trials and is in all of them, as importances need it."""
    return [one.name for one in found.parameters if all(one.name in trial.params for trial in found.complete)]


def differs(trials: Sequence[FrozenTrial], objective: int) -> bool:
    return len({trial.values[objective] for trial in trials}) > 1


def objective_of(number: int) -> Callable[[FrozenTrial], float]:
    return lambda trial: trial.values[number]


def importances(found: Findings) -> dict[str, dict[str, float]]:
    """The share of an objective's variance that each setting explains, by fANOVA (Hutter et al., ICML 2014).

    Optuna's default, PED-ANOVA, looks at what sets the best tenth apart: two trials of twenty, which is noise.
    """
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances  # takes a second, by scikit-learn

    trials, evaluator = found.sample(FITTED), FanovaImportanceEvaluator(seed=0)
    study, names = among(trials, found.objectives, found.directions), common(found)
    return {
        objective: get_param_importances(study, evaluator=evaluator, params=names, target=objective_of(number))
        for number, objective in enumerate(found.objectives)
        if differs(trials, number)
    }
