"""The bundle of models/ as a version in MLflow's registry: once for each bundle and registry, and the challenger."""

from functools import cache
from typing import Any

from filelock import FileLock

from pipeline.config.schema import Config
from pipeline.evaluation import metrics_files
from pipeline.models import description as describing
from pipeline.project import paths
from pipeline.project.errors import DataError
from pipeline.project.files import digest, read_json, write_text
from pipeline.registry import card_pages, mlflow_model, provenance, versions
from pipeline.registry.aliases import CHALLENGER, CHAMPION, by_alias, point
from pipeline.registry.card import Champion, card
from pipeline.store import processed
from pipeline.tracking import mlflow_store, sync
from pipeline.tracking.journal import Journal

CARD = paths.REPORTS / card_pages.NAME


def register(client: Any, config: Config) -> tuple[Any, bool]:
    """The bundle's version, the challenger now, and whether it was made just now; its run is shipped before."""
    bundle, run = checked(), read_json(paths.RUN, "train")
    metrics = metrics_files.read()
    if run["bundle_digest"] != bundle:
        raise DataError(f"{paths.RUN} and {paths.BUNDLE} are of two trainings.\nType: dvc repro --force train")
    Journal.later(run["run_id"], config.tracking.experiment, config.run_name).close()
    mlflow_id = sync.ship(client, run["run_id"], needed=True)
    with FileLock(paths.state("register.lock")):
        version, new = make(client, config, bundle, run, metrics, mlflow_id)
        point(client, config.registry.model, CHALLENGER, version.version)
    return version, new


def checked() -> str:
    """The digest of the bundle in models/, whole; one that was not registered from here before is tried, too."""
    found = digest(describing.whole(paths.BUNDLE))
    if not paths.REGISTERED.is_file() or read_json(paths.REGISTERED, "register")["digest"] != found:
        from pipeline.models.bundle import Bundle  # with torch: two seconds

        Bundle.load(paths.BUNDLE)
    return found


def is_missing(client: Any, config: Config) -> bool:
    """Whether `dvc repro` has registered the bundle of models/, and this registry has no version of it.

    It may be another registry, or an emptied one, or the version was deleted: DVC knows of none of these.
    """
    if not (paths.REGISTERED.is_file() and paths.RUN.is_file()):
        return False
    told, run = read_json(paths.REGISTERED, "register"), read_json(paths.RUN, "train")
    if (told["name"], told["digest"]) != (config.registry.model, run["bundle_digest"]):
        return False
    return not client.search_model_versions(
        f"name='{told['name']}' and tags.`{provenance.DIGEST}` = '{told['digest']}'"
    )


def is_known(client: Any, config: Config) -> bool:
    """Whether the run that made the bundle of models/ has reached the server."""
    run = read_json(paths.RUN, "train")
    found = client.get_experiment_by_name(config.tracking.experiment)
    return found is not None and mlflow_store.find_run(client, found.experiment_id, run["run_id"]) is not None


def make(
    client: Any, config: Config, bundle: str, run: dict[str, Any], metrics: dict[str, float], mlflow_id: str
) -> tuple[Any, bool]:
    """The version of the bundle with this digest, and whether it was made just now."""
    name = config.registry.model

    @cache
    def parts() -> tuple[Any, dict[str, str], str]:
        """The model as MLflow logged it, and its version's tags and description: kept if the version is tried again."""
        spec = processed.load_spec()
        summary = {key: f"{value:.6g}" for key, value in metrics.items() if metrics_files.is_headline(key)}
        tags = provenance.tags(config, bundle, run, spec) | summary
        settings = provenance.stored_settings(client, mlflow_id) or config.model_dump(mode="json")
        told = card(config, spec, metrics, run, tags, settings, champion(client, name))
        write_text(CARD, card_pages.page(f"{name}: {config.scenario}", told))
        model = mlflow_model.log(client, mlflow_id, name, paths.BUNDLE, spec["examples"], list(summary), CARD)
        return model, tags, card_pages.markdown(config.scenario, told)

    version, new = versions.once(client, name, bundle, lambda: versions.create(client, name, *parts()))
    if parts.cache_info().currsize and versions.logged_model(version) != parts()[0].model_id:
        versions.drop_copy(client, parts()[0], version)
    return version, new


def champion(client: Any, name: str) -> Champion | None:
    version = by_alias(client, name, CHAMPION)
    if version is None:
        return None
    settings = (
        provenance.stored_settings(client, version.run_id) if provenance.found_run(client, version.run_id) else None
    )
    return Champion(version.version, version.tags.get("data.fingerprint", ""), settings)
