"""ratchet download [setting=value …]: fetch the raw data from its mirrors, verified by SHA-256."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pipeline.config.arguments import chosen, stage_parser
from pipeline.config.data import FileSum, Folder, Hub, Pretrained, Source
from pipeline.config.schema import Config
from pipeline.fetch import folders, hub, mirrors, sources
from pipeline.project import paths
from pipeline.project.errors import DataError

MOST_LINES = 20  # a folder of pictures is summed up


@dataclass(frozen=True)
class Delivery:
    """Files that belong into a folder, and what brings them there."""

    folder: Path
    files: Mapping[str, FileSum]
    bring: Callable[[], None]


def main(arguments: list[str]) -> None:
    config = chosen(stage_parser("download", __doc__).parse_intermixed_args(arguments))
    try:
        with sources.alone():
            deliveries = list(planned(config, paths.RAW))
            wanted = {(one.folder / name).relative_to(paths.RAW).as_posix() for one in deliveries for name in one.files}
            folders.keep_only(paths.RAW, wanted)
            for delivery in deliveries:
                delivery.bring()
    except OSError as error:
        raise DataError(
            f"{error.filename or paths.RAW} can't be written: {error.strerror}.\n"
            f"{paths.RAW} and .ratchet/ must be writable, with room for the files. Then type: ratchet download"
        ) from None
    for delivery in deliveries:
        report(delivery)


def planned(config: Config, raw: Path) -> Iterator[Delivery]:
    """All that data/raw is to hold; a folder is read here, before anything in data/raw is touched."""
    source, pretrained = config.data.source, config.pretrained
    if isinstance(source, Folder):
        origin = Path(source.folder)
        folders.refuse_inside(raw, origin)
        files = folders.listing(source)
        yield Delivery(raw, files, partial(folders.copy, origin, files, raw))
    else:
        yield fetched(source, raw, raw)
    if isinstance(pretrained, Hub):
        origin = hub.folder_of(pretrained.path)
        folders.refuse_inside(raw, origin)
        files = {name: folders.measured(origin / name) for name in hub.FILES}
        yield Delivery(raw / "encoder", files, partial(folders.copy, origin, files, raw / "encoder"))
    elif isinstance(pretrained, Pretrained):
        yield fetched(pretrained.source, raw / "encoder", raw)


def fetched(source: Source, folder: Path, raw: Path) -> Delivery:
    for file in mirrors.local_files(source):
        folders.refuse_inside(raw, file)
    return Delivery(folder, source.files, partial(sources.fetch, source, folder))


def report(delivery: Delivery) -> None:
    if len(delivery.files) > MOST_LINES:
        size = sum(one.bytes for one in delivery.files.values())
        print(f"{delivery.folder}: {len(delivery.files):,} files, {size:,} bytes, each verified by its SHA-256")
        return
    for name, one in delivery.files.items():
        print(f"{delivery.folder / name}: {one.bytes:,} bytes, SHA-256 {one.sha256[:12]}… verified")
