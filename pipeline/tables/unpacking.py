"""The one file in a .gz, .bz2, .xz or .zip, and a workbook's sheet, each in a scratch copy."""

import shutil
import zipfile
from pathlib import Path

from pipeline.fetch import archives
from pipeline.project.errors import DataError
from pipeline.project.files import quoted

ZIP, TAR, OLD_EXCEL = b"PK\x03\x04", b"ustar", b"\xd0\xcf\x11\xe0"
LEAST = 1 << 26  # bytes that any packed file of one's own may have, however small it is
WORKBOOKS = ("xl/workbook.xml", "xl/workbook.bin", "content.xml")  # members of .xlsx, .xlsb, .ods
CLUTTER = ("__MACOSX/", ".DS_Store", "Thumbs.db", "desktop.ini")


def unpack(path: Path, scratch: Path) -> Path:
    """The file itself, or what it holds if it is packed; DataError if that is not one file."""
    with path.open("rb") as file:
        first = file.read(262)
    if first.startswith(ZIP) and not is_workbook(path, first):
        path = from_zip(path, scratch)
        with path.open("rb") as file:
            first = file.read(262)
    opened = next((opened for magic, opened in archives.UNPACKERS.items() if first.startswith(magic)), None)
    if opened is None:
        refuse_tar(path, first)
        return path
    copy = scratch / f"unpacked-{path.stem}"
    most = max(LEAST, archives.MOST_RATIO * path.stat().st_size)
    try:
        with opened(path, "rb") as stream, copy.open("wb") as target:
            shutil.copyfileobj(archives.Whole(stream, most), target)
    except DataError as error:
        raise DataError(f"{path}: {error}.\nPack it again, or give the unpacked file") from None
    with copy.open("rb") as file:
        refuse_tar(path, file.read(262))
    return copy


def refuse_tar(path: Path, first: bytes) -> None:
    if first[257:262] == TAR:
        raise DataError(
            f"{path} is a tar; a table is one file.\nType: tar -xf {quoted(path)}, then give the file that it held"
        )


def from_zip(path: Path, scratch: Path) -> Path:
    try:
        with zipfile.ZipFile(path) as archive:
            names = [info.filename for info in archive.infolist() if not info.is_dir()]
    except archives.UNREADABLE as error:
        raise DataError(f"{path}: the archive can't be read: {error}.\nDownload or pack it again") from None
    names = [name for name in names if not any(part in name for part in CLUTTER)]
    if len(names) != 1:
        listed = ", ".join(sorted(names)[:10]) or "none"
        raise DataError(
            f"{path} holds {len(names)} files ({listed}); a table is one file.\n"
            f"Type: python -m zipfile -e {quoted(path)} unpacked, then: ratchet init --data unpacked/FILE"
        )
    try:
        found = archives.extract(path, names, scratch)[names[0]]
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    return found.rename(scratch / f"unpacked-{Path(names[0]).name}")


def is_workbook(path: Path, first: bytes) -> bool:
    """Of Excel or LibreOffice, by its content."""
    if first.startswith(OLD_EXCEL):
        return True
    if not first.startswith(ZIP):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name in archive.namelist() for name in WORKBOOKS)
    except archives.UNREADABLE:
        return False


def write_sheet(path: Path, copy: Path) -> list[str]:
    """The first sheet as CSV, without a header; and what to say of the others."""
    try:
        import fastexcel
    except ImportError:
        raise DataError(
            f"{path} is a workbook; reading it needs fastexcel.\nType: pip install 'ratchet-ml[excel]' "
            "(in a checkout: pip install -e '.[excel]'), or save the sheet as CSV"
        ) from None
    import polars as pl

    try:
        reader = fastexcel.read_excel(path)
        sheets = reader.sheet_names
        sheet = reader.load_sheet(0, header_row=None, skip_rows=0, dtypes="string", schema_sample_rows=1)
        frame = pl.DataFrame(sheet)
    except fastexcel.FastExcelError as error:
        raise DataError(
            f"{path} can't be read as a workbook: {str(error).splitlines()[0]}.\n"
            "Open it in a spreadsheet, save the sheet as CSV and give that"
        ) from None
    frame.write_csv(copy, include_header=False)
    if len(sheets) == 1:
        return []
    others = ", ".join(map(repr, sheets[1:6])) + (", …" if len(sheets) > 6 else "")
    return [f"only its first sheet, {sheets[0]!r}, is read; to use another ({others}), save that as a file of its own"]
