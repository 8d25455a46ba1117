"""Looks differ for every kind of sight, and stand out from both backgrounds."""

import itertools
import subprocess
import sys

import numpy as np
import pytest
from numpy.typing import NDArray

from edfkit.show.look import DARK_BACKGROUND, SPACES, Look, looks, space_of

Values = NDArray[np.float64]

# Populations that figures of the paper compare, with the smallest CIEDE2000 difference and lightness difference wanted.
COMPARED = [
    (("vanilla", "resnet"), 18, 12),
    (("resnet-b", "resnext-b"), 18, 12),
    (("resnet", "resnext-b"), 18, 12),
    (("resnext-a", "resnext-b"), 18, 12),
    (("vanilla", "resnet", "darts"), 13, 10),
    (("nasnet", "darts", "resnext-a", "resnext-b"), 14, 7),
    (("nasnet", "amoeba", "pnas", "enas", "darts"), 13, 6),
]
ANY = 8  # between any two spaces

# Machado, Oliveira and Fernandes (2009), severity 1, on linear RGB.
SIGHT = {
    "normal": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)


def _linear(colour: str) -> Values:
    rgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def _luminance(colour: str) -> float:
    return float(TO_XYZ[1] @ _linear(colour))


def _contrast(a: str, b: str) -> float:
    """WCAG 2's contrast ratio."""
    low, high = sorted([_luminance(a), _luminance(b)])
    return (high + 0.05) / (low + 0.05)


def _lab(colour: str, sight: str = "normal") -> Values:
    seen = np.clip(np.array(SIGHT[sight]) @ _linear(colour), 0, 1)
    t = TO_XYZ @ seen / TO_XYZ.sum(axis=1)
    f = np.where(t > 216 / 24389, np.cbrt(t), (24389 / 27 * t + 16) / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def _ciede2000(one: Values, two: Values) -> float:
    """Sharma, Wu and Dalal (2005)."""
    (l1, a1, b1), (l2, a2, b2) = one, two
    mean = (np.hypot(a1, b1) + np.hypot(a2, b2)) / 2
    g = (1 - np.sqrt(mean**7 / (mean**7 + 25**7))) / 2
    a1, a2 = (1 + g) * a1, (1 + g) * a2
    c1, c2 = np.hypot(a1, b1), np.hypot(a2, b2)
    h1, h2 = (np.degrees(np.arctan2(b, a)) % 360 for a, b in ((a1, b1), (a2, b2)))
    turn = 0.0 if c1 * c2 == 0 else (h2 - h1 + 180) % 360 - 180
    total = h1 + h2
    h = total if c1 * c2 == 0 else total / 2 if abs(h1 - h2) <= 180 else (total + (360 if total < 360 else -360)) / 2
    d_l, d_c, d_h = l2 - l1, c2 - c1, 2 * np.sqrt(c1 * c2) * np.sin(np.radians(turn) / 2)
    light, c = (l1 + l2) / 2, (c1 + c2) / 2
    t = 1 - 0.17 * np.cos(np.radians(h - 30)) + 0.24 * np.cos(np.radians(2 * h))
    t += 0.32 * np.cos(np.radians(3 * h + 6)) - 0.20 * np.cos(np.radians(4 * h - 63))
    s_l = 1 + 0.015 * (light - 50) ** 2 / np.sqrt(20 + (light - 50) ** 2)
    s_c, s_h = 1 + 0.045 * c, 1 + 0.015 * c * t
    theta = 30 * np.exp(-(((h - 275) / 25) ** 2))
    r_t = -np.sin(np.radians(2 * theta)) * 2 * np.sqrt(c**7 / (c**7 + 25**7))
    return float(np.sqrt((d_l / s_l) ** 2 + (d_c / s_c) ** 2 + (d_h / s_h) ** 2 + r_t * (d_c / s_c) * (d_h / s_h)))


def _difference(a: Look, b: Look, *, dark: bool) -> float:
    """The smallest over all kinds of sight."""
    pair = a.colour(dark=dark), b.colour(dark=dark)
    return min(_ciede2000(_lab(pair[0], sight), _lab(pair[1], sight)) for sight in SIGHT)


@pytest.mark.parametrize(
    ("one", "two", "difference"),
    [  # from the test data of Sharma, Wu and Dalal
        ((50.0, 2.6772, -79.7751), (50.0, 0.0, -82.7485), 2.0425),
        ((50.0, 2.49, -0.001), (50.0, -2.49, 0.0011), 7.2195),
        ((50.0, 2.5, 0.0), (73.0, 25.0, -18.0), 27.1492),
        ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
        ((22.7233, 20.0904, -46.6940), (23.0331, 14.9730, -42.5619), 2.0373),
    ],
)
def test_the_difference_is_that_of_the_published_data(
    one: tuple[float, float, float], two: tuple[float, float, float], difference: float
) -> None:
    assert _ciede2000(np.array(one), np.array(two)) == pytest.approx(difference, abs=1e-4)


@pytest.mark.parametrize("space", SPACES)
def test_every_colour_stands_out_from_its_background(space: str) -> None:
    look = SPACES[space]
    assert _contrast(look.light, "#FFFFFF") >= 3
    assert _contrast(look.dark, DARK_BACKGROUND) >= 3


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize(("a", "b"), list(itertools.combinations(SPACES, 2)))
def test_any_two_spaces_differ_for_every_sight(a: str, b: str, dark: bool) -> None:
    assert _difference(SPACES[a], SPACES[b], dark=dark) >= ANY


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize(("spaces", "difference", "lightness"), COMPARED)
def test_compared_spaces_differ_much_in_grey_too_in_line_and_in_marker(
    spaces: tuple[str, ...], difference: float, lightness: float, dark: bool
) -> None:
    for a, b in itertools.combinations([SPACES[space] for space in spaces], 2):
        assert _difference(a, b, dark=dark) >= difference
        assert abs(_lab(a.colour(dark=dark))[0] - _lab(b.colour(dark=dark))[0]) >= lightness
        assert a.dash != b.dash or spaces == ("resnet", "resnext-b")
        assert a.marker != b.marker


def test_a_pair_that_the_colour_blind_confuse_is_seen() -> None:
    red, green = Look("#D7301F", "#D7301F", (), "o"), Look("#4F7F1E", "#4F7F1E", (), "o")
    assert _ciede2000(_lab(red.light), _lab(green.light)) > 30
    assert _difference(red, green, dark=False) < 30


def test_no_two_spaces_are_alike() -> None:
    assert len({look.marker for look in SPACES.values()}) == len(SPACES) == 10
    assert len(set(SPACES.values())) == 10


@pytest.mark.parametrize("name", ["resnext-b", "ResNeXt-B", "ResNeXt-B_in", "resnext-b_lr-wd_in", "resnext-b_rng1"])
def test_a_variant_looks_like_its_space(name: str) -> None:
    assert space_of(name) == "resnext-b"
    assert looks([name]) == [SPACES["resnext-b"]]


@pytest.mark.parametrize("name", ["my_space", "My_Space_rng12", "my_space_reruns_top", "my_space_lr-wd_in"])
def test_of_an_unknown_name_only_what_names_a_variant_is_left_out(name: str) -> None:
    assert space_of(name) == "my_space"


def test_a_space_looks_the_same_whatever_is_beside_it() -> None:
    assert looks(["vanilla", "resnet"]) == looks(["resnet", "vanilla"])[::-1]
    assert looks(["mine", "resnet", "yours"])[1] == SPACES["resnet"]


def test_unknown_spaces_take_what_no_known_one_has_by_place() -> None:
    first, resnet, second, again = looks(["mine", "resnet", "yours", "mine_lr-wd"])
    assert len({look.light for look in (first, resnet, second)}) == 3
    assert looks(["one", "resnet", "two"]) == [first, resnet, second]
    assert again.light == first.light
    assert again.dash != first.dash


def test_populations_of_one_space_share_the_colour_and_nothing_else() -> None:
    found = looks([f"resnet_rng{i}" for i in range(6)])
    assert {look.light for look in found} == {SPACES["resnet"].light}
    assert found[0] == SPACES["resnet"]
    assert len({look.dash for look in found}) == len({look.marker for look in found}) == 6


@pytest.mark.parametrize(
    "names",
    [
        ["net-18", "net-34"],
        ["resnet_18", "resnet_34", "resnet_50"],
        ["ResNet-18", "ResNet-34", "resnet"],
        ["vit-b-16", "vit-b-32", "ViT-B/16", "ViT-B/32"],
        ["mine_rng1", "mine_rng2"],
        ["resnet_18_lr-wd", "resnet_34_lr-wd"],
        ["resnet_in[depth[0] < 3]", "resnet_in[depth[0] < 4]"],
        [f"width{i}" for i in range(60)],
        [f"vanilla_{i / 10}" for i in range(30)],
    ],
)
def test_names_that_differ_only_in_a_number_have_different_colours(names: list[str]) -> None:
    found = looks(names)
    for dark in (False, True):
        assert len({look.colour(dark=dark) for look in found}) == len(names)


def test_populations_of_one_number_share_the_colour() -> None:
    plain, small, tuned, large = looks(["resnet", "resnet_18", "resnet_18_lr-wd", "resnet_34"])
    assert plain.light == small.light == tuned.light == SPACES["resnet"].light != large.light
    assert len({plain.dash, small.dash, tuned.dash}) == 3


def test_sixty_unknown_spaces_all_differ() -> None:
    found = looks([f"space{i}" for i in range(60)])
    assert len(set(found)) == 60
    assert min(_contrast(look.light, "#FFFFFF") for look in found) >= 3
    assert min(_contrast(look.dark, DARK_BACKGROUND) for look in found) >= 3


def test_looks_cost_no_library() -> None:
    code = (
        "import sys; import edfkit.show.look; print([m for m in ('numpy', 'matplotlib', 'scipy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
