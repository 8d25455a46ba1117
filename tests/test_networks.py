"""What archives and published files say of the networks, read back as configurations."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from edfkit import EdfkitError
from edfkit.archive import Archive, write
from edfkit.archive.published import Published
from edfkit.archive.schema import REQUIRED_ATTRS, Status
from edfkit.datasets import locate
from edfkit.generator import spaces
from edfkit.generator.spaces.counting import Complexity
from edfkit.generator.spaces.described import best, describe
from edfkit.generator.spaces.kinds import Architecture, CellSpace, Columns, Network, Space, StageSpace
from edfkit.generator.training.data import geometry

ATTRS = {name: f"the {name}" for name in REQUIRED_ATTRS} | {"recipe": "{}", "dataset": "digits"}
FAILED = Status.FAILED
SPACES = ("resnet", "vanilla", "resnext-b", "resnext-a_in", "enas", "darts_in", "resnet-56")
CELLS = CellSpace("mine", Architecture("cells", 8, unused_nodes=True), ("none", "conv_1x1"), 3, (3,), (4, 8), (1, 2))
STAGES = StageSpace("mine", Architecture("res_basic_block", 4, 31), {"depth": (1, 2), "width": (8, 16)}, 2)


def configurations(space: Space, models: int = 6) -> tuple[Columns, Complexity]:
    """Draw configurations of a space, the same each time, and count their complexity."""
    columns = space.draw(np.random.default_rng(1), models)
    return columns, space.architecture.measure(columns, **geometry("digits"))


def population(columns: Columns, complexity: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
    """Give models of these networks, the first the best of them."""
    models = len(columns["depth"])
    return {
        "id": [f"m{i}" for i in range(models)],
        "error": np.linspace(5, 50, models),
        "error_final": np.linspace(5, 50, models),
        **complexity,
        "seed": np.arange(models),
        "lr": np.full(models, 0.1),
        "wd": np.full(models, 5e-4),
        "status": np.zeros(models, int),
        "seconds": np.ones(models),
        **{name: column.astype(np.int8) if column.dtype == bool else column for name, column in columns.items()},
        **changes,
    }


def archive(
    folder: Path, space: Space, models: int = 6, *, attrs: dict[str, Any] | None = None, **changes: Any
) -> Archive:
    """Write some models of a space, with other values of some variables, or without those that are None."""
    drawn, complexity = configurations(space, models)
    columns = population(drawn, complexity._asdict(), **changes)
    columns = {name: column for name, column in columns.items() if column is not None}
    if attrs is None:
        attrs = {"architecture": json.dumps(space.architecture.as_dict())}
    write(folder / "a.h5", {"some": columns}, ATTRS, {"some": attrs})
    return Archive(folder / "a.h5")


def published_file(folder: Path, records: list[dict[str, Any]], name: str = "ResNet.json") -> Published:
    path = folder / name
    path.write_text(json.dumps(records))
    return Published(path)


def describe_and_measure(source: Archive | Published, name: str) -> None:
    for _, architecture, columns in describe(source, name):
        architecture.measure(columns)


def record(error: float, net: dict[str, Any]) -> dict[str, Any]:
    return {"min_test_top1": error, "net": net}


def basic(*depths: int, stem: int = 16) -> dict[str, Any]:
    stages = len(depths)
    ws, ss = [stem] + [32] * stages, [1, 1, *[2] * (stages - 1)]
    return {"block_type": "res_basic_block", "ds": [1, *depths], "ws": ws, "ss": ss, "bot_muls": [], "num_gs": []}


@pytest.mark.parametrize("space", [*(spaces.SPACES[name] for name in SPACES), CELLS, STAGES], ids=lambda s: s.name)
def test_an_archive_describes_the_networks_that_were_drawn(tmp_path: Path, space: Space) -> None:
    drawn, complexity = configurations(space)
    with archive(tmp_path, space) as source:
        [(places, architecture, columns)] = describe(source, "SOME")
    assert places.tolist() == list(range(6))
    assert architecture == space.architecture
    assert columns.keys() == drawn.keys()
    for name, column in drawn.items():
        assert_array_equal(columns[name], column)
    for one, other in zip(architecture.measure(columns, **geometry("digits")), complexity, strict=True):
        assert_array_equal(one, other)


def test_the_bundled_archive_describes_its_networks() -> None:
    with Archive(locate("digits")) as source:
        for name, block in (("resnet", "res_basic_block"), ("vanilla", "double_plain_block")):
            [(places, architecture, columns)] = describe(source, name)
            assert (len(places), architecture) == (500, Architecture(block))
            assert_array_equal(columns["width"], source.read(name, "width"))
            assert spaces.read(json.loads(source.group_attrs(name)["space"]), "here", "x") == spaces.SPACES[name]


def test_every_published_network_is_described_once(published: Path) -> None:
    with Published(published) as source:
        for name in source.names:
            nets = source.networks(name)
            seen = np.zeros(len(nets), int)
            for places, architecture, columns in describe(source, name):
                seen[places] += 1
                for model, described in zip(places, spaces.describe_networks(architecture, columns), strict=True):
                    net = nets[model]
                    if "genotype" in net:
                        assert architecture == Architecture("cells", 8, unused_nodes=True)
                        assert described == {key: net[key] for key in ("width", "depth", "genotype")}
                        continue
                    assert architecture == Architecture(net["block_type"], net["ss"][0], net["ws"][0])
                    keys = {"depth": "ds", "width": "ws", "bot_mul": "bot_muls", "groups": "num_gs"}
                    assert described == {key: net[theirs][1:] for key, theirs in keys.items() if net.get(theirs)}
            assert (seen == 1).all()


def test_networks_that_do_not_go_together_come_apart(tmp_path: Path) -> None:
    bottleneck = {
        "block_type": "res_bottleneck_block",
        "ds": [1, 2],
        "ws": [16, 64],
        "ss": [1, 1],
        "bot_muls": [0.0, 0.5],
        "num_gs": [1, 8],
    }
    no_groups = {key: value for key, value in bottleneck.items() if key != "num_gs"}
    nets = [basic(1, 2), bottleneck, basic(3), basic(4, 5), no_groups, basic(6, 7, stem=8), bottleneck]
    source = published_file(tmp_path, [record(5, net) for net in nets])
    parts = [(places.tolist(), architecture, columns) for places, architecture, columns in describe(source, "resnet")]
    assert [places for places, _, _ in parts] == [[0, 3], [1, 6], [2], [4], [5]]
    assert [architecture.stem_width for _, architecture, _ in parts] == [16, 16, 16, 16, 8]
    assert parts[0][2]["depth"].tolist() == [[1, 2], [4, 5]]
    assert [sorted(columns) for _, _, columns in parts[1:4:2]] == [
        ["bot_mul", "depth", "groups", "width"],
        ["bot_mul", "depth", "width"],
    ]


@pytest.mark.parametrize("space", [*(spaces.SPACES[name] for name in SPACES), CELLS, STAGES], ids=lambda s: s.name)
def test_the_best_network_of_an_archive_is_a_space_of_its_own(tmp_path: Path, space: Space) -> None:
    error = np.array([30.0, 20, 10, 40, 10, 50])  # of two that are as good, the first
    drawn, complexity = configurations(space)
    with archive(tmp_path, space, error=error) as source:
        network = best(source, "Some")
    assert isinstance(network, Network)
    assert (network.name, network.architecture) == ("best-of-some", space.architecture)
    for name, column in drawn.items():
        assert_array_equal(network.columns[name], column[2])
    definition = spaces.definition(network)
    again = spaces.read(json.loads(json.dumps(definition)), "here", "other")
    assert spaces.definition(again) == definition
    repeated = again.draw(np.random.default_rng(2), 2)
    for one, other in zip(again.architecture.measure(repeated, **geometry("digits")), complexity, strict=True):
        assert one.tolist() == [other[2]] * 2


def test_the_best_of_every_published_population_has_its_smallest_error(published: Path) -> None:
    with Published(published) as source:
        for name in source.names:
            errors, params = source.read(name, "error").tolist(), source.read(name, "params")
            model = errors.index(min(errors))
            network = best(source, name)
            assert network.name == f"best-of-{name}"
            definition = spaces.definition(network)
            again = spaces.read(json.loads(json.dumps(definition)), "here", "other")
            assert spaces.definition(again) == definition
            one = again.draw(np.random.default_rng(1), 1)
            counted = again.architecture.measure(one, **geometry(source.dataset(name)))
            assert counted.params.tolist() == [params[model]]


def test_the_best_of_the_bundled_models_is_known() -> None:
    with Archive(locate("digits")) as source:
        for name in ("resnet", "vanilla"):
            error = source.read(name, "error")
            model = error.tolist().index(error.min())
            network = best(source, name)
            for column in ("depth", "width"):
                assert_array_equal(network.columns[column], source.read(name, column)[model])


def test_the_best_may_be_in_any_part_of_a_published_file(tmp_path: Path) -> None:
    nets = [basic(1, 2), basic(3), basic(4, 5), basic(6, 7), basic(8)]
    for model in range(5):
        source = published_file(tmp_path, [record(9 - (i == model), net) for i, net in enumerate(nets)])
        network = best(source, "RESNET")
        assert network.columns["depth"].tolist() == nets[model]["ds"][1:]
    ties = published_file(tmp_path, [record(error, net) for error, net in zip([9, 8, 8, 8, 9], nets, strict=True)])
    assert best(ties, "resnet").columns["depth"].tolist() == [3]


@pytest.mark.parametrize("name", ["ResNet (1).json", "Mein Netz.json", f"{'x' * 100}.json", "_.json"])
def test_the_best_of_a_file_of_any_name_is_a_space_of_its_own(tmp_path: Path, name: str) -> None:
    source = published_file(tmp_path, [record(5, basic(1, 2))], name)
    definition = spaces.definition(best(source, source.names[0]))
    assert spaces.definition(spaces.read(definition, "here", "other")) == definition


LARGE: list[dict[str, Any]] = [
    {"block": "res_basic_block", "depth": [1], "width": [*range(1000, 2500)]},
    {"block": "res_basic_block", "depth": [1], "width": "1000, 16000, 1000"},
    {"ops": ["none"], "nodes": 1, "output": "all", "width": [*range(1, 1001)], "depth": [*range(1, 1001)]},
    {
        "block": "cells",
        "network": {
            "width": 4,
            "depth": 4,
            "genotype": {
                "normal": [["dil_sep_conv_3x3", 0]] * 240,
                "normal_concat": [*range(2, 122)],
                "reduce": [["dil_sep_conv_3x3", 0]] * 240,
                "reduce_concat": [*range(2, 122)],
            },
        },
    },
]


@pytest.mark.parametrize("document", LARGE, ids=["list", "text", "cells", "network"])
def test_every_space_that_can_be_read_can_be_kept_in_an_archive(tmp_path: Path, document: dict[str, Any]) -> None:
    # Else only packing, after all the training, would refuse it.
    try:
        space = spaces.read(document, "here", "large")
    except EdfkitError:
        return
    attrs = {
        "architecture": json.dumps(space.architecture.as_dict()),
        "space": json.dumps(spaces.definition(space)),
    }
    with archive(tmp_path, space, attrs=attrs) as source:
        assert json.loads(source.group_attrs("some")["space"]) == spaces.definition(space)


def test_models_that_failed_are_not_the_best(tmp_path: Path) -> None:
    status = np.array([FAILED, 0, 0, FAILED, 0, 0])
    for unknown in ([np.nan, 20, 10, np.nan, 40, 30], [np.nan, 10, 10, np.nan, 40, 30]):
        with archive(tmp_path, STAGES, error=np.array(unknown), status=status) as source:
            network = best(source, "some")
            expected = source.read("some", "depth")[unknown.index(10)]
        assert_array_equal(network.columns["depth"], expected)


def test_an_error_that_a_failed_model_states_does_not_make_it_the_best(tmp_path: Path) -> None:
    error, status = np.array([1.0, 20, 10, 5, 40, 30]), np.array([FAILED, 0, 0, FAILED, 0, 0])
    with archive(tmp_path, STAGES, error=error, status=status) as source:
        assert_array_equal(best(source, "some").columns["depth"], source.read("some", "depth")[2])


def test_none_is_the_best_of_models_that_all_failed(tmp_path: Path) -> None:
    for error in (np.full(6, np.nan), np.array([np.nan, 50, 60, 70, 80, 90])):
        with (
            archive(tmp_path, STAGES, error=error, status=np.full(6, FAILED)) as source,
            pytest.raises(EdfkitError, match=r"a.h5: no model of some ended with an error, so none is best; choose"),
        ):
            best(source, "some")


@pytest.mark.parametrize(
    ("attrs", "reason"),
    [
        ({}, ""),
        ({"architecture": "res_basic_block"}, ""),
        ({"architecture": "[1]"}, ""),
        ({"architecture": "3"}, ""),
        ({"architecture": "{}"}, "'block'"),
        ({"architecture": '{"block": "res_basic_block", "stem": 3}'}, "'stem'"),
        ({"architecture": '{"block": "cells"}'}, "there is no concat"),
        ({"block": "res_basic_block"}, ""),
    ],
)
def test_an_archive_that_does_not_say_the_architecture_is_refused(
    tmp_path: Path, attrs: dict[str, Any], reason: str
) -> None:
    message = (
        rf"a.h5 does not describe the networks of some as edfkit does \(.*{reason}.*\), which this needs; take an "
    )
    with archive(tmp_path, STAGES, attrs=attrs) as source:
        with pytest.raises(EdfkitError, match=message):
            next(describe(source, "some"))
        with pytest.raises(EdfkitError, match=message):
            best(source, "some")


@pytest.mark.parametrize("missing", ["depth", "width"])
@pytest.mark.parametrize("space", [STAGES, CELLS], ids=["stages", "cells"])
def test_an_archive_without_a_column_is_refused(tmp_path: Path, missing: str, space: Space) -> None:
    absent: dict[str, Any] = {missing: None}
    with archive(tmp_path, space, **absent) as source:
        message = rf"does not describe the networks of some as edfkit does \(there is no {missing}\), which this needs"
        with pytest.raises(EdfkitError, match=message):
            next(describe(source, "some"))


@pytest.mark.parametrize(
    "architecture",
    [
        {"block": "res_block"},
        {"block": 5},
        {"block": "res_basic_block", "stem_stride": 2},
        {"block": "res_basic_block", "stem_width": "16"},
        {"block": "res_basic_block", "stem_width": 0},
        {"block": "cells", "stem_stride": 4},
    ],
    ids=["block", "number", "stride", "text", "zero", "cells"],
)
def test_an_architecture_that_is_wrong_is_refused(tmp_path: Path, architecture: dict[str, Any]) -> None:
    space = CELLS if architecture["block"] == "cells" else STAGES
    with (
        archive(tmp_path, space, attrs={"architecture": json.dumps(architecture)}) as source,
        pytest.raises(EdfkitError),
    ):
        describe_and_measure(source, "some")


def test_cells_that_are_called_stages_are_refused(tmp_path: Path) -> None:
    with (
        archive(tmp_path, CELLS, attrs={"architecture": '{"block": "res_basic_block"}'}) as source,
        pytest.raises(EdfkitError),
    ):
        describe_and_measure(source, "some")


@pytest.mark.parametrize(
    ("net", "message"),
    [
        (5, "A network of resnet is not described as published .TypeError"),
        ([], "A network of resnet is not described as published"),
        ({"genotype": 5}, "A network of resnet is not described as published .TypeError"),
        ({"genotype": {"normal": 5}}, "A network of resnet is not described as published .TypeError"),
        ({"genotype": {"normal": [], "reduce": []}}, "Network 0 is not described as in the published files"),
        ({**basic(1), "block_type": ["x"]}, "A network of resnet is not described as published .TypeError: unhashable"),
        ({**basic(1), "ds": 3}, "A network of resnet is not described as published .TypeError"),
        ({**basic(1), "ws": []}, "A network of resnet is not described as published .IndexError"),
        (
            {**basic(1, 2), "ss": [1, 2, 2]},
            r"The strides \[1, 2, 2\] are not known; those of the stages can be 1, then 2",
        ),
    ],
)
def test_a_published_network_that_is_not_known_is_refused(tmp_path: Path, net: Any, message: str) -> None:
    source = published_file(tmp_path, [record(5, net)])
    with pytest.raises(EdfkitError, match=message):
        list(describe(source, "resnet"))
    with pytest.raises(EdfkitError, match=message):
        best(source, "resnet")


@pytest.mark.parametrize(
    "change",
    [
        {"ds": [1, "a", 2]},
        {"ds": [1, 1.5, 2]},
        {"ds": [1, None, 2]},
        {"ds": [1, [2], [3]]},
        {"ds": [1, 2, 3, 4]},
        {"ds": [1, 0, 3]},
        {"ds": [1, 2, 10**30]},
        {"ws": [16, 24]},
        {"ws": ["16", 24, 24]},
        {"block_type": "res_bottleneck_block", "num_gs": [1, 0, 0]},
        {"block_type": "res_bottleneck_block", "bot_muls": [0.0, 1.0]},
        {"block_type": "res_bottleneck_block", "bot_muls": "abc"},
    ],
    ids=lambda change: json.dumps(change)[:60],
)
def test_a_published_network_that_cannot_be_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    source = published_file(tmp_path, [record(5, {**basic(1, 2), **change})])
    with pytest.raises(EdfkitError):
        describe_and_measure(source, "resnet")
