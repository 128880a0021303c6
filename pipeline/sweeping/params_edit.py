"""The edit of params.yaml after which it composes to the settings of a run: as little of it as that takes."""

from dataclasses import dataclass
from typing import Any

import yaml

from pipeline.config.checking import flatten
from pipeline.config.composition import composed, settled
from pipeline.config.editing import drop, put
from pipeline.config.schema import HASHED, Config
from pipeline.config.writing import parse_yaml
from pipeline.project import paths
from pipeline.project.errors import ConfigError

Leaves = dict[str, Any]  # dotted key → value
ABSENT = "-"


@dataclass(frozen=True)
class ParamsEdit:
    text: str  # of params.yaml
    before: Config
    after: Config

    @property
    def changes(self) -> list[tuple[str, Any, Any]]:
        """(dotted key, before, after) of the settings that are others now."""
        return differing(leaves(self.before), leaves(self.after))


def edit_params(text: str, target: Config, threads: int | None) -> ParamsEdit:
    """`text` is that of params.yaml; ConfigError if no edit of it gives the target's config hash.

    What is adopted is what the hash is made of, the scenario, and `threads`, unless None.
    """
    before = composed(given(text))
    try:
        new = edited(text, target)
        if threads is not None:
            new = put(new, "trainer.threads", threads)
        after = composed(given(new))
    except (yaml.YAMLError, ValueError) as error:  # such as an alias whose anchor was on a value that changes
        raise refusal(f"  {error}") from None
    if after.hash != target.hash:
        others = differing(hashed(leaves(after)), hashed(leaves(target)))
        raise refusal("\n".join(f"  {key}: {here!r}, and not {there!r}" for key, here, there in others))
    return ParamsEdit(new, before, after)


def edited(text: str, target: Config) -> str:
    wanted = hashed(leaves(target))
    new = without_strangers(text, wanted)
    new = with_values(new, {"scenario": target.scenario}, dict(given(new)))
    kind = dict(given(new)).get("data.kind")
    if kind != target.data.kind and (kind is not None or is_own(target)):
        new = put(new, "data.kind", target.data.kind)
    new = with_values(new, choices(target), unchecked(new))
    now = unchecked(new)
    return with_values(new, with_mirrors_of_other_files(wanted, now), now)


def refusal(lines: str) -> ConfigError:
    return ConfigError(
        f"{paths.PARAMS} can't be edited so that it gives these settings, and was left as it is:\n{lines}\n"
        f"Write them into {paths.PARAMS} by hand, then type: ratchet compose"
    )


def leaves(config: Config) -> Leaves:
    return dict(flatten(config.model_dump(mode="json")))


def given(text: str) -> list[tuple[str, Any]]:
    return list(flatten(parse_yaml(text)))


def hashed(some: Leaves) -> Leaves:
    return {key: value for key, value in some.items() if key.partition(".")[0] in HASHED}


def differing(some: Leaves, others: Leaves) -> list[tuple[str, Any, Any]]:
    keys = [key for key in {**some, **others} if some.get(key, ABSENT) != others.get(key, ABSENT)]
    return [(key, some.get(key, ABSENT), others.get(key, ABSENT)) for key in keys]


def without_strangers(text: str, wanted: Leaves) -> str:
    """Without the settings that the target does not have, such as the momentum of another optimiser."""
    for key in hashed(dict(given(text))):
        if key not in wanted and not (paths.CONF / key).is_dir():  # `optimizer: sgd` is a choice, not a stranger
            text = drop(text, key)
    return text


def unchecked(text: str) -> Leaves:
    """What it composes to by now, whether or not that makes sense already."""
    return dict(flatten(settled(given(text))[0]))


def with_values(text: str, wanted: Leaves, now: Leaves) -> str:
    for key, value in wanted.items():
        if now.get(key, ABSENT) != value:
            text = put(text, key, value)
    return text


def choices(target: Config) -> Leaves:
    """The file of each group of conf/."""
    return {f"{group}.name": getattr(target, group).name for group in sorted(HASHED) if (paths.CONF / group).is_dir()}


def is_own(target: Config) -> bool:
    """Whether the data is a person's own: its kind names the file of conf/data/, and its name is free."""
    file = paths.CONF / "data" / f"{target.data.name}.yaml"
    return not file.is_file() or parse_yaml(file.read_text(encoding="utf-8"))["kind"] != target.data.kind


def with_mirrors_of_other_files(wanted: Leaves, now: Leaves) -> Leaves:
    """Where the same files come from does not decide the model, and stays; mirrors of other files would be wrong."""

    def files(source: str, some: Leaves) -> Leaves:
        return {key: value for key, value in some.items() if key.startswith(f"{source}.files")}

    same = [source for source in ("data.source", "pretrained.source") if files(source, wanted) == files(source, now)]
    return {key: value for key, value in wanted.items() if key not in [f"{source}.mirrors" for source in same]}
