"""What is opened of an archive: no more than is asked for, and nothing that lies outside of it."""

import os
import re
import shutil
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from h5py import h5a, h5d, h5g, h5o

from edfkit import EdfkitError
from edfkit.archive import Archive, validate
from edfkit.archive.combine import subset
from edfkit.archive.verify import verify
from edfkit.cli import main
from edfkit.datasets import BUNDLED
from edfkit.study.compare import compare_populations

SECRET = b"-----BEGIN PRIVATE KEY-----" + b"MIIEvQIBADANBgkqhkiG" * 400

Craft = Callable[[h5py.Group, str, Path], None]


def soft(group: h5py.Group, name: str, secret: Path) -> None:
    group[name] = h5py.SoftLink("/vanilla/error")


def external(group: h5py.Group, name: str, secret: Path) -> None:
    group[name] = h5py.ExternalLink(str(secret.with_suffix(".h5")), "/secret")


def kept_outside(group: h5py.Group, name: str, secret: Path) -> None:
    shape, dtype = ((500, 8), "S1") if name == "id" else ((500,), "<f8")
    group.create_dataset(name, shape, dtype, external=[(str(secret), 0, h5py.h5f.UNLIMITED)])
    group[name].attrs["units"] = "percent" if name == "error" else "1"


def virtual(group: h5py.Group, name: str, secret: Path) -> None:
    layout = h5py.VirtualLayout((500,), "<f8")
    layout[:] = h5py.VirtualSource(str(secret.with_suffix(".h5")), "secret", (500,))
    group.create_virtual_dataset(name, layout)
    group[name].attrs["units"] = "percent" if name == "error" else "1"


CRAFTS: list[tuple[str, Craft, str]] = [
    ("soft link", soft, "is a soft link, and links are not followed"),
    ("external link", external, "is an external link, and links are not followed"),
    ("external storage", kept_outside, "keeps its values in other files (external storage), which are not opened"),
    ("virtual data set", virtual, "is a virtual data set, put together of others, which are not opened"),
]
crafts = pytest.mark.parametrize(("craft", "expected"), [pytest.param(c, x, id=i) for i, c, x in CRAFTS])


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("few") / "few.h5"
    subset(BUNDLED["digits"], path, spaces=["resnet", "vanilla"])
    return path


@pytest.fixture
def copy(few: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(few, tmp_path / "copy.h5"))


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """Give a file that its reader alone may read, and beside it one in HDF5."""
    path = tmp_path / "id_rsa"
    path.write_bytes(SECRET)
    with h5py.File(path.with_suffix(".h5"), "w") as file:
        file["secret"] = np.frombuffer(SECRET[:4_000], "<f8")
    return path


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """Run the command line; give the exit status, and all that it printed."""

    def run(*arguments: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["edfkit", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            main()
        assert isinstance(caught.value.code, int)
        return caught.value.code, "".join(capsys.readouterr())

    return run


def count_calls(monkeypatch: pytest.MonkeyPatch, module: Any, function: str, calls: "Counter[str]") -> None:
    """Count the calls of a function of HDF5, whoever makes them."""
    original = getattr(module, function)

    def counting(*given: Any, **more: Any) -> Any:
        calls[f"{module.__name__}.{function}"] += 1
        return original(*given, **more)

    monkeypatch.setattr(module, function, counting)


def test_what_is_opened_grows_with_what_is_asked_for(few: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: Counter[str] = Counter()
    for module, function in ((h5o, "open"), (h5d, "open"), (h5g, "open"), (h5o, "get_info"), (h5a, "open")):
        count_calls(monkeypatch, module, function, calls)
    found: list[Counter[str]] = []
    for path in (few, BUNDLED["digits"]):
        calls.clear()
        with Archive(path) as archive:
            compare_populations(archive, ["resnet", "vanilla"])
        found.append(calls.copy())
    two, many = found
    two["h5py.h5a.open"] -= 1  # a subset says of what it is one
    assert two == many
    assert sum(many.values()) < 250
    with Archive(BUNDLED["digits"]) as archive:
        for name in archive.names:
            archive.models(name)
    assert calls["h5py.h5o.get_info"] > 400  # what is looked at is counted


def put(path: Path, where: str, name: str, craft: Craft, secret: Path) -> None:
    with h5py.File(path, "r+") as file:
        group = file[where]
        if name in group:
            del group[name]
        craft(group, name, secret)


def assert_refused(printed: str, path: Path, expected: str) -> None:
    """Check for one sentence that says what it is, and nothing of what lies outside."""
    assert expected in printed
    assert str(path) in printed
    assert "fault of edfkit" not in printed
    assert "Traceback" not in printed
    assert "KEY" not in printed
    assert "MII" not in printed


@crafts
@pytest.mark.parametrize("name", ["error", "id", "train_loss", "note", "model"])
def test_a_population_that_leads_elsewhere_is_refused(
    copy: Path, secret: Path, call: Callable[..., tuple[int, str]], craft: Craft, expected: str, name: str
) -> None:
    """Whether the variable is needed or not, known or not, or a dimension."""
    put(copy, "resnet", name, craft, secret)
    with Archive(copy) as archive:
        assert len(archive.read("vanilla", "error")) == 500  # another population is as good as before
        for action in (
            lambda: archive.read("resnet", "error"),
            lambda: archive.read("resnet", name),
            lambda: archive.models("resnet"),
            lambda: list(archive.chunks("resnet", ["error"])),
            lambda: archive.field("resnet", name),
            lambda: archive.validate(),
        ):
            with pytest.raises(EdfkitError) as caught:
                action()
            assert_refused(str(caught.value), copy, f"{name!r} {expected}")
        [finding] = verify(archive)
        assert (finding.population, finding.kind) == ("resnet", "unreadable")
        assert_refused(finding.message, copy, f"{name!r} {expected}")
    for command in (("verify", copy), ("compare", "resnet", "vanilla", "--archive", copy)):
        status, printed = call(*command)
        assert status == 1
        assert_refused(printed, copy, f"{name!r} {expected}")


@crafts
def test_a_root_that_leads_elsewhere_is_refused(
    copy: Path, secret: Path, call: Callable[..., tuple[int, str]], craft: Craft, expected: str
) -> None:
    put(copy, "/", "note", craft, secret)
    with pytest.raises(EdfkitError) as caught:
        validate(copy)
    assert_refused(str(caught.value), copy, f"'note' {expected}")
    status, printed = call("verify", copy)
    assert status == 1
    assert_refused(printed, copy, f"'note' {expected}")
    status, printed = call("compare", "resnet", "vanilla", "--archive", copy)
    if "link" in expected:
        assert status == 1
        assert_refused(printed, copy, f"'note' {expected}")
    else:  # is no population, and nobody asks for it
        assert status == 0


@pytest.mark.parametrize("link", [h5py.SoftLink("/vanilla"), h5py.ExternalLink("other.h5", "/vanilla")])
def test_a_population_elsewhere_is_refused(copy: Path, few: Path, call: Callable[..., Any], link: Any) -> None:
    shutil.copy(few, copy.with_name("other.h5"))
    with h5py.File(copy, "r+") as file:
        del file["resnet"]
        file["resnet"] = link
    for command in (("verify", copy), ("compare", "resnet", "vanilla", "--archive", copy)):
        status, printed = call(*command)
        assert status == 1
        assert_refused(printed, copy, "link, and links are not followed")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are a POSIX thing")
@pytest.mark.parametrize("craft", [external, kept_outside, virtual])
def test_a_pipe_elsewhere_does_not_hang(copy: Path, tmp_path: Path, craft: Craft) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    os.mkfifo(pipe.with_suffix(".h5"))
    put(copy, "resnet", "error", craft, pipe)
    with pytest.raises(EdfkitError, match=r"which are not opened|not followed"):
        validate(copy)


def test_what_is_no_data_set_is_left_alone(copy: Path) -> None:
    with h5py.File(copy, "r+") as file:
        file["resnet"].create_group("more").attrs["_path"] = "resnet/more"
        file["resnet/kind"] = np.dtype("<f8")
        file["kind"] = np.dtype("<f8")
        before = len(file["resnet"])
    validate(copy)
    with Archive(copy) as archive:
        assert archive.names == ["resnet", "vanilla"]
        assert not {"more", "kind"} & set(archive.variables("resnet"))
        assert len(archive.variables("resnet")) < before - 2


def test_a_dimension_counts_for_its_own_group_alone(copy: Path) -> None:
    """What a reference leads to is not even opened."""
    with h5py.File(copy, "r+") as file:
        file["resnet/error"].dims[0].detach_scale(file["resnet/model"])
        file["resnet/error"].dims[0].attach_scale(file["vanilla/model"])
    with Archive(copy) as archive, pytest.raises(EdfkitError, match=re.escape("one axis for each of ()")):
        archive.field("resnet", "error")
    with Archive(copy) as archive:
        assert archive.field("vanilla", "error").dims == ("model",)


def test_a_population_that_is_its_own_member_is_refused(copy: Path) -> None:
    with h5py.File(copy, "r+") as file:
        file["resnet/me"] = file["resnet"]
    with Archive(copy) as archive, pytest.raises(EdfkitError, match="resnet/me is what was written as resnet"):
        archive.models("resnet")
    with Archive(copy) as archive:
        assert any("resnet/me" in fault.message for fault in verify(archive))


@pytest.mark.parametrize("models", [1, 60, 700])
def test_a_variable_of_another_length_is_no_variable_of_the_models(copy: Path, models: int) -> None:
    with h5py.File(copy, "r+") as file:
        file["resnet"].create_dataset("extra", data=np.arange(float(models)))
        file["vanilla"].create_dataset("extra", data=np.arange(500.0))
    with Archive(copy) as archive:
        assert archive.shape("resnet", "extra").shape == (models,)
        assert archive.shape("resnet", "error").dtype == np.dtype("<f8")
        with pytest.raises(EdfkitError, match=rf"'extra' has shape \({models},\), expected 500 along its first axis"):
            next(archive.chunks("resnet", ["error", "extra"]))
        assert len(next(archive.chunks("vanilla", ["error", "extra"]))["extra"]) == 500
        for bins in (None, 3):
            with pytest.raises(
                EdfkitError, match=rf"'extra' has the shape \({models},\), expected one number for each"
            ):
                compare_populations(archive, ["resnet", "vanilla"], given="extra", bins=bins)
        assert compare_populations(archive, ["resnet", "vanilla"]).pairs[0].claim is not None
