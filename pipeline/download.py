"""ratchet download [setting=value …]: fetch the raw data from its mirrors, verified by SHA-256."""

from pipeline.config.arguments import chosen, stage_parser
from pipeline.data import sources
from pipeline.project import paths
from pipeline.project.errors import DataError


def main(arguments: list[str]) -> None:
    config = chosen(stage_parser("download", __doc__).parse_args(arguments))
    source = config.data.source
    try:
        sources.fetch(source, paths.RAW)
    except OSError as error:
        raise DataError(
            f"{error.filename or paths.RAW} can't be written: {error.strerror}.\n"
            f"{paths.RAW} and .ratchet/ must be writable, with room for the files. Then type: ratchet download"
        ) from None
    for name, wanted in source.files.items():
        print(f"{paths.RAW / name}: {wanted.bytes:,} bytes, SHA-256 {wanted.sha256[:12]}… verified")
