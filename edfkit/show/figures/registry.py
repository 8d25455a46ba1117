"""The figures of the paper: what each shows, of which populations, and in which setting.

Source: Radosavovic et al., On Network Design Spaces for Visual Recognition (NDS), ICCV 2019. Where it does not say in
which range populations are compared, the range starts at the largest of their smallest complexities.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from edfkit.show.figures import complexity, distributions, noise, points
from edfkit.show.figures.page import Page
from edfkit.show.figures.reading import Comparing, FigureSource

_RESNEXT = ("resnext-a", "resnext-b")
_NAS = ("nasnet", "amoeba", "pnas", "enas", "darts")
_NAS_AND_OTHERS = ("nasnet", "darts", *_RESNEXT)


@dataclass(frozen=True)
class Entry:
    """A figure of the paper.

    Attributes
    ----------
    name : str
        Its number, and if it is in parts a letter, such as "16a".
    title : str
    draw : callable
        Draws it of populations that there are.
    populations : sequence of str
        Those that it is about in the paper.
    least : int
        With so many of them it can be made.
    instead : sequence of str
        What is taken, place by place, if there are too few of those.
    by : Comparing or None
        How it compares them, if it does.
    of_errors : bool
        Whether it is about errors in percent, and of no other metric.
    """

    name: str
    title: str
    draw: Callable[[FigureSource, list[str]], Page]
    populations: Sequence[str]
    least: int = 2
    instead: Sequence[str] = ()
    by: Comparing | None = None
    of_errors: bool = False

    @property
    def file(self) -> str:
        """Return the name of its files, without an ending."""
        number = "".join(filter(str.isdigit, self.name))
        return f"figure_{int(number):02d}{self.name.removeprefix(number)}"

    def choose(self, names: Collection[str]) -> tuple[dict[str, str], list[str]]:
        """Choose from the populations that there are.

        Parameters
        ----------
        names : collection of str
            Those that there are.

        Returns
        -------
        chosen : dict of str to str
            What is taken, and which one of the paper's it stands for; empty if there are too few.
        missing : list of str
            Those of the paper that are not there, and for which nothing stands.
        """
        for some in (self.populations, self.instead):
            chosen = {one: wanted for one, wanted in zip(some, self.populations, strict=False) if one in names}
            if len(chosen) >= self.least:
                return chosen, [name for name in self.populations if name not in chosen.values()]
        return {}, [name for name in self.populations if name not in names]


def _compared(
    name: str, title: str, draw: Callable[..., Page], populations: Sequence[str], by: Comparing, **options: Any
) -> Entry:
    instead = options.pop("instead", ())
    return Entry(name, title, partial(draw, by=by, **options), populations, instead=instead, by=by)


def _on_imagenet(names: Sequence[str]) -> list[str]:
    return [f"{name}_in" for name in names]


_RATES = ("vanilla_lr-wd", "resnet_lr-wd", "darts_lr-wd")

FIGURES: dict[str, Entry] = {
    entry.name: entry
    for entry in (
        _compared(
            "1",
            "point, curve and distribution estimate",
            distributions.estimates,
            ("resnet-b", "resnext-b"),
            Comparing(40, {"params": 0.023e6}, ("params",)),
            instead=("resnet", "resnext-b"),
        ),
        Entry("2", "what the best of a few models says", points.point, ("resnet",), 1),
        _compared(
            "3",
            "EDFs with and without normalising",
            distributions.edfs,
            _RESNEXT,
            Comparing(40, {"params": 0.02e6, "flops": 0.008e9}, ("none", "params", "flops")),
        ),
        Entry("4", "error against complexity", complexity.models, _RESNEXT, 1),
        Entry("5", "complexity", complexity.histograms, _RESNEXT, 1),
        _compared(
            "6",
            "EDFs and random search",
            distributions.edfs_and_search,
            ("vanilla", "resnet"),
            Comparing(10, {"params": 0.024e6}, ("params",)),
            most=12,
        ),
        Entry("7", "how many models are enough", points.enough, ("resnet",), 1),
        Entry("8", "complexity with fixed width and depth", complexity.histograms,
              ("pnas_fix-w-d", "enas_fix-w-d", "darts_fix-w-d"), 1),
        _compared("9", "EDFs of NAS spaces", distributions.edfs, _NAS, Comparing(20)),
        _compared("10", "random search in NAS spaces", distributions.search, _NAS, Comparing(20), most=9),
        _compared("11", "EDFs of NAS spaces and of others", distributions.edfs, _NAS_AND_OTHERS, Comparing(20)),
        Entry("12", "learning rate and weight decay", noise.rates, _RATES, 1, _on_imagenet(_RATES), of_errors=True),
        Entry("13", "one model trained many times", noise.reruns,
              [f"{space}_reruns_{kind}" for space in ("vanilla", "resnet") for kind in ("top", "mid")], 1,
              of_errors=True),
        Entry("14", "EDFs averaged over seeds", noise.seeds,
              [f"{space}_rng{i}" for space in ("vanilla", "resnet") for i in (1, 2, 3)], 2, of_errors=True),
        Entry("15", "error by bucket of complexity", complexity.by_bucket, _RESNEXT, 1),
        _compared("16a", "EDFs of NAS spaces on ImageNet", distributions.edfs, _on_imagenet(_NAS), Comparing(8)),
        _compared("16b", "random search in NAS spaces on ImageNet", distributions.search, _on_imagenet(_NAS),
                  Comparing(8), most=5),
        _compared("16c", "EDFs of NAS spaces and of others on ImageNet", distributions.edfs,
                  _on_imagenet(_NAS_AND_OTHERS), Comparing(5)),
        Entry("16d", "learning rate and weight decay on ImageNet", noise.rates, _on_imagenet(_RATES), 1,
              of_errors=True),
    )
}  # fmt: skip
