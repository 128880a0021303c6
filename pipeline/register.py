"""ratchet register: make the bundle a version in MLflow's registry, once for each bundle, and the challenger."""

from functools import cache
from typing import Any

from filelock import FileLock

from pipeline.config.arguments import chosen, stage_parser
from pipeline.config.schema import Config
from pipeline.data import store
from pipeline.models.bundle import Bundle
from pipeline.project import paths
from pipeline.project.errors import DataError
from pipeline.project.files import read_json, write_json, write_text
from pipeline.registry import logged, origin, pages, versions
from pipeline.registry.aliases import CHALLENGER, CHAMPION, by_alias, point
from pipeline.registry.card import Champion, card
from pipeline.tracking import mlflow_store, sync
from pipeline.tracking.journal import Journal

CARD = paths.REPORTS / pages.NAME


def main(arguments: list[str]) -> None:
    config = chosen(stage_parser("register", __doc__).parse_intermixed_args(arguments))
    bundle, run = Bundle.load(paths.BUNDLE), read_json(paths.RUN, "train")
    metrics = read_json(paths.REPORTS / "metrics.json", "evaluate")
    if run["bundle_digest"] != bundle.digest:
        raise DataError(f"{paths.RUN} and {paths.BUNDLE} are of two trainings.\nType: dvc repro --force train")
    Journal.later(run["run_id"], config.tracking.experiment, config.run_name).close()
    with mlflow_store.answering("dvc repro", "The bundle is safe in models/."):
        client = mlflow_store.client()
        mlflow_id = sync.ship(client, run["run_id"])
        with FileLock(paths.state("register.lock")):
            version, new = register(client, config, bundle, run, metrics, mlflow_id)
            point(client, config.registry.model, CHALLENGER, version.version)
    report = {"name": version.name, "version": int(version.version), "digest": bundle.digest, "run_id": run["run_id"]}
    write_json(paths.REGISTERED, report)
    known = "is version" if new else "was version"
    print(f"{version.name}: this bundle {known} {version.version} → alias {CHALLENGER}")


def register(
    client: Any, config: Config, bundle: Bundle, run: dict[str, Any], metrics: dict[str, float], mlflow_id: str
) -> tuple[Any, bool]:
    """The bundle's version, and whether it was made just now."""
    name = config.registry.model

    @cache
    def parts() -> tuple[Any, dict[str, str], str]:
        """The model as MLflow logged it, and its version's tags and description: kept if the version is tried again."""
        spec = store.load_spec()
        summary = {key: f"{value:.6g}" for key, value in metrics.items() if is_summary(key)}
        tags = origin.tags(config, bundle.digest, run, spec) | summary
        settings = origin.stored_settings(client, mlflow_id) or config.model_dump(mode="json")
        told = card(config, spec, metrics, run, tags, settings, champion(client, name))
        write_text(CARD, pages.page(f"{name}: {config.scenario}", told))
        model = logged.log(client, mlflow_id, name, paths.BUNDLE, spec["examples"], list(summary), CARD)
        return model, tags, pages.markdown(config.scenario, told)

    version, new = versions.once(client, name, bundle.digest, lambda: versions.create(client, name, *parts()))
    if parts.cache_info().currsize and versions.logged_model(version) != parts()[0].model_id:
        versions.drop_copy(client, parts()[0], version)
    return version, new


def champion(client: Any, name: str) -> Champion | None:
    version = by_alias(client, name, CHAMPION)
    if version is None:
        return None
    settings = origin.stored_settings(client, version.run_id) if origin.found_run(client, version.run_id) else None
    return Champion(version.version, version.tags.get("data.fingerprint", ""), settings)


def is_summary(metric: str) -> bool:
    """Not of a single class: there may be thousands."""
    return metric.startswith("baseline/") or metric.count("/") == 1
