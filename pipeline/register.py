"""ratchet register: make the bundle a version in MLflow's registry, once for each bundle, and the challenger."""

from pipeline.config.arguments import chosen, stage_parser
from pipeline.project import paths
from pipeline.project.files import read_json, write_json
from pipeline.registry import registering
from pipeline.registry.aliases import CHALLENGER
from pipeline.tracking import mlflow_store


def main(arguments: list[str]) -> None:
    config = chosen(stage_parser("register", __doc__).parse_intermixed_args(arguments))
    with mlflow_store.answering("dvc repro", "The bundle is safe in models/."):
        version, new = registering.register(mlflow_store.client(), config)
    run = read_json(paths.RUN, "train")
    report = {"name": version.name, "version": int(version.version)}
    write_json(paths.REGISTERED, report | {"digest": run["bundle_digest"], "run_id": run["run_id"]})
    known = "is version" if new else "was version"
    print(f"{version.name}: this bundle {known} {version.version} → alias {CHALLENGER}")
