"""Files out of archives, and archives that attack."""

import gzip
import io
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from pipeline.fetch import archives
from pipeline.project.errors import DataError


def tarred(files: dict[str, bytes]) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return made.getvalue()


def zipped(name: str, kind: int = stat.S_IFREG, content: bytes = b"x") -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        info = zipfile.ZipInfo(name)
        info.external_attr = (kind | 0o644) << 16
        info.compress_type = zipfile.ZIP_DEFLATED
        archive.writestr("good", b"good")
        archive.writestr(info, content)
    return made.getvalue()


def odd_tar(name: str, kind: bytes = tarfile.REGTYPE, content: bytes = b"", **more: object) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        info = tarfile.TarInfo(name)
        info.type, info.size = kind, len(content)
        for key, value in more.items():
            setattr(info, key, value)
        good = tarfile.TarInfo("good")
        good.size = 4
        archive.addfile(good, io.BytesIO(b"good"))
        archive.addfile(info, io.BytesIO(content))
    return made.getvalue()


ODD = {
    "up": (zipped("../outside"), "leave its folder"),
    "down and up": (zipped("a/../../outside"), "leave its folder"),
    "absolute": (zipped("/outside"), "leave its folder"),
    "backslash": (zipped("..\\outside"), "leave its folder"),
    "drive": (zipped("C:outside"), "leave its folder"),
    "link": (zipped("link", stat.S_IFLNK, b"/etc/passwd"), "link or device"),
    "device": (zipped("device", stat.S_IFCHR), "link or device"),
    "tar, up": (odd_tar("../outside"), "leave its folder"),
    "tar, absolute": (odd_tar("/outside"), "leave its folder"),
    "tar, link": (odd_tar("link", tarfile.SYMTYPE, linkname="/etc/passwd"), "link or device"),
    "tar, hard link": (odd_tar("link", tarfile.LNKTYPE, linkname="good"), "link or device"),
    "tar, device": (odd_tar("device", tarfile.CHRTYPE), "link or device"),
    "tar, pipe": (odd_tar("pipe", tarfile.FIFOTYPE), "link or device"),
    "tar, bomb": (odd_tar("bomb", content=bytes(10**7)), "unpacks to more than"),
    "tar, bomb in a header": (odd_tar("bomb", pax_headers={"comment": "0" * 10**7}), "unpacks to more than"),
    "tar, torn": (odd_tar("torn", content=bytes(range(256)) * 400)[:-300], "can't be read"),
    "tar, cut": (gzip.compress(gzip.decompress(odd_tar("cut", content=bytes(10**4)))[:2000]), "can't be read"),
    "no archive": (b"<html>not found</html>", "can't be read"),
    "zip, torn": (zipped("torn")[:-30], "can't be read"),
    "inner": (tarred({"inner.zip": zipped("../outside")}), "leave its folder"),
}


@pytest.mark.parametrize("odd", ODD)
def test_an_archive_that_leaves_its_folder_links_or_explodes_is_refused(odd: str, tmp_path: Path) -> None:
    content, reason = ODD[odd]
    inside = tmp_path / "inside"
    inside.mkdir()
    (tmp_path / "made").write_bytes(content)
    name = "inner.zip!good" if odd == "inner" else "good"
    with pytest.raises(DataError, match=reason):
        archives.locate([name], lambda names: archives.extract(tmp_path / "made", names, inside), inside)
    assert {path.name for path in tmp_path.iterdir()} == {"inside", "made"}
    assert all(path.read_bytes() != b"good" for path in inside.iterdir()), "nothing of it was unpacked"


def test_a_zip_bomb_is_refused_and_what_lies_beside_it_is_not(tmp_path: Path) -> None:
    (tmp_path / "made").write_bytes(zipped("bomb", content=bytes(10**7)))
    with pytest.raises(DataError, match=r"'bomb' unpacks from [0-9,]+ to 10,000,000 bytes"):
        archives.extract(tmp_path / "made", ["bomb"], tmp_path)
    assert archives.extract(tmp_path / "made", ["good"], tmp_path)["good"].read_bytes() == b"good"


def test_a_file_of_an_archive_in_an_archive_is_found(tmp_path: Path) -> None:
    innermost = tarred({"deep/text": b"deep"})
    (tmp_path / "made").write_bytes(tarred({"text": b"flat", "inner.zip": zipped("more.tar.gz", content=innermost)}))
    paths = ["text", "inner.zip!good", "inner.zip!more.tar.gz!deep/text"]
    found = archives.locate(paths, lambda names: archives.extract(tmp_path / "made", names, tmp_path), tmp_path)
    assert [found[path].read_bytes() for path in paths] == [b"flat", b"good", b"deep"]
