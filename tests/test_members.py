import hashlib
import json
import stat
import struct
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from edfkit import EdfkitError
from edfkit.exchange.members import Member, check_zip, find_members, open_member

CONTENT = json.dumps([{"a": 1}] * 200).encode()


def zip_of(path: Path, files: dict[str, bytes], packing: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", packing) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def content_of(member: Member) -> tuple[bytes, str, int]:
    pieces: list[int] = []
    with open_member(member, pieces.append) as stream:
        data = b"".join(iter(lambda: stream.read(1000), b""))
        assert sum(pieces) == stream.count == len(data)
        return data, stream.blob, stream.count


def test_members_are_found_in_files_folders_and_zips(tmp_path: Path) -> None:
    for folder in ("plain", "outer/nds_data", "both/data"):
        (tmp_path / folder).mkdir(parents=True)
        for name in ("B.json", "A.json", "readme.txt", "._A.json"):
            (tmp_path / folder / name).write_bytes(CONTENT)
    (tmp_path / "both" / "C.json").write_bytes(CONTENT)
    files = {"data/B.json": CONTENT, "data/A.JSON": b"[]", "data/notes.txt": b"x", "__MACOSX/data/._A.json": b"x"}
    packed = zip_of(tmp_path / "x.bin", files | {"data/.DS_Store": b"x"})
    sources = [tmp_path / "plain", tmp_path / "outer", tmp_path / "both", packed, tmp_path / "plain" / "A.json"]
    members, left_out = find_members(sources)
    assert [member.name for member in members] == ["A.json", "B.json"] * 2 + ["C.json", "A.JSON", "B.json", "A.json"]
    assert [member.size for member in members[-3:]] == [2, len(CONTENT), len(CONTENT)]
    assert left_out == 1  # notes.txt; what macOS adds is no file of anyone's
    assert {content_of(member)[0] for member in members} == {CONTENT, b"[]"}


@pytest.mark.parametrize("packing", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA])
def test_the_id_is_the_one_that_git_gives(tmp_path: Path, packing: int) -> None:
    (tmp_path / "A.json").write_bytes(CONTENT)
    zip_of(tmp_path / "x.zip", {"A.json": CONTENT}, packing)
    expected = hashlib.sha1(b"blob %d\0" % len(CONTENT) + CONTENT).hexdigest()
    for source in ("A.json", "x.zip"):
        [member], _ = find_members([tmp_path / source])
        assert content_of(member) == (CONTENT, expected, len(CONTENT))
    git = subprocess.run(["git", "hash-object", str(tmp_path / "A.json")], capture_output=True, text=True, check=True)
    assert git.stdout.strip() == expected


def test_nothing_is_unpacked_to_disk(tmp_path: Path) -> None:
    path = zip_of(tmp_path / "x.zip", {"A.json": CONTENT})
    content_of(find_members([path])[0][0])
    assert list(tmp_path.iterdir()) == [path]


def entry(name: str, size: int = 10, packed: int = 10, mode: int = 0, flags: int = 0) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.file_size, info.compress_size, info.external_attr, info.flag_bits = size, packed, mode << 16, flags
    return info


@pytest.mark.parametrize(
    ("infos", "message"),
    [
        ([entry("/etc/x.json")], "member '/etc/x.json' has a path that leads out of the zip"),
        ([entry("data/../../x.json")], r"member 'data/\.\./\.\./x\.json' has a path that leads out of the zip"),
        ([entry("..")], "has a path that leads out of the zip"),
        ([entry("data\\x.json")], "has a path that leads out of the zip"),
        ([entry("C:x.json")], "has a path that leads out of the zip"),
        ([entry("x.json\0.txt")], "has a path that leads out of the zip"),
        ([entry("x.json", mode=stat.S_IFLNK | 0o777)], "is a symbolic link or a special file"),
        ([entry("x.json", mode=stat.S_IFIFO | 0o644)], "is a symbolic link or a special file"),
        ([entry("x.json", flags=1)], "is encrypted"),
        ([entry("x.json"), entry("x.json")], "is there twice"),
        ([entry("x.json", 10_000_001, 50_000)], "declares 10,000,001 bytes in 50,000, which no such data pack to"),
        ([entry("x.txt", 10**12, 0)], "declares 1,000,000,000,000 bytes in 0, which"),
        (
            [entry("x.json", 600, 600), entry("y.json", 600, 600)],
            "declare 1,200 bytes together, expected 1,000 at most",
        ),
        ([entry("x.json", 400, 400), entry("y.json", 400, 400)], "declare 800 packed bytes, more than the zip has"),
    ],
)
def test_a_zip_that_is_not_safe_is_refused(tmp_path: Path, infos: list[zipfile.ZipInfo], message: str) -> None:
    path = tmp_path / "x.zip"
    path.write_bytes(bytes(500))
    with pytest.raises(EdfkitError, match=message) as caught:
        check_zip(path, infos, most_bytes=1000 if infos[0].file_size < 1000 else 10**13)
    assert "\n" not in str(caught.value)


def test_what_is_usual_in_zips_is_not_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    path.write_bytes(bytes(500))
    folder, plain = entry("data/", 0, 0, stat.S_IFDIR | 0o755), entry("data/x..json", 90, 40, stat.S_IFREG | 0o644)
    check_zip(path, [folder, plain, entry("y.json", 9_000_000, 200)])
    with pytest.raises(EdfkitError, match="17,179,869,184 at most"):
        check_zip(path, [entry(f"{i}.json", 2**30, 2**28) for i in range(17)])


def test_a_link_in_a_real_zip_is_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("data/A.json")
    link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(EdfkitError, match="is a symbolic link"):
        find_members([tmp_path / "x.zip"])


def test_a_zip_bomb_is_refused(tmp_path: Path) -> None:
    path = zip_of(tmp_path / "x.zip", {"A.json": bytes(20_000_000)})
    with pytest.raises(EdfkitError, match="declares 20,000,000 bytes in"):
        find_members([path])


def declared(data: bytearray, size: int) -> None:
    """Have the directory of a zip of one member, and the header of the member, declare another size."""
    for signature, offset in ((b"PK\x01\x02", 24), (b"PK\x03\x04", 22)):
        place = data.index(signature) + offset
        data[place : place + 4] = struct.pack("<I", size)


def flipped(data: bytearray) -> None:
    data[60] ^= 0x55


FAULTS: list[tuple[Callable[[bytearray], None], str]] = [
    (
        lambda data: declared(data, len(CONTENT) + 5),
        r"only 2,0\d\d bytes, expected the 2,\d\d\d that were declared; fetch",
    ),
    (lambda data: declared(data, len(CONTENT) - 5), r"cannot be read \(Bad CRC-32 .*\); fetch it again\."),
    (flipped, r"cannot be read \(.*\); fetch it again\."),
]


@pytest.mark.parametrize(("fault", "message"), FAULTS, ids=["longer", "shorter", "flipped"])
def test_a_damaged_member_is_refused(tmp_path: Path, fault: Callable[[bytearray], None], message: str) -> None:
    data = bytearray(zip_of(tmp_path / "x.zip", {"A.json": CONTENT}).read_bytes())
    fault(data)
    (tmp_path / "x.zip").write_bytes(data)
    [member], _ = find_members([tmp_path / "x.zip"])
    with pytest.raises(EdfkitError, match=message) as caught:
        content_of(member)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kept", [0, 10, 60, -1, -30])
def test_a_truncated_zip_is_refused(tmp_path: Path, kept: int) -> None:
    path = zip_of(tmp_path / "x.zip", {"A.json": CONTENT})
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(EdfkitError, match=r"x\.zip cannot be read \(.*\); fetch it again\."):
        find_members([path])


def test_a_packing_that_is_not_known_is_refused(tmp_path: Path) -> None:
    data = bytearray(zip_of(tmp_path / "x.zip", {"A.json": CONTENT}).read_bytes())
    for signature, offset in ((b"PK\x01\x02", 10), (b"PK\x03\x04", 8)):
        place = data.index(signature) + offset
        data[place : place + 2] = struct.pack("<H", 97)
    (tmp_path / "x.zip").write_bytes(data)
    [member], _ = find_members([tmp_path / "x.zip"])
    with pytest.raises(EdfkitError, match=r"x\.zip: A\.json cannot be read \(.*compression.*\)"):
        content_of(member)


def test_a_file_that_grows_or_shrinks_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "A.json"
    path.write_bytes(CONTENT)
    [member], _ = find_members([path])
    path.write_bytes(CONTENT + b" ")
    with pytest.raises(EdfkitError, match="has more bytes, expected the"):
        content_of(member)
    path.write_bytes(CONTENT[:-1])
    with pytest.raises(EdfkitError, match="has only"):
        content_of(member)


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    for source, message in {
        tmp_path
        / "absent.zip": r"There is no file .*absent\.zip; give published JSON files, their folder or their zip",
        tmp_path: "has no JSON files; give one that holds published files",
        zip_of(
            tmp_path / "x.zip", {"notes.txt": b""}
        ): r"x\.zip has no JSON files; give the zip of the published files",
    }.items():
        with pytest.raises(EdfkitError, match=message):
            find_members([source])
