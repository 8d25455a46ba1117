"""Numbers as people write them: 30k, 1.2M, 90.0%, 50 MFLOPs."""

import re

_POWERS = {"": 0, "k": 3, "m": 6, "g": 9, "b": 9, "t": 12, "thousand": 3, "million": 6, "billion": 9}
_WRITTEN = re.compile(
    r"([+-]?(?:\d+\.?\d*|\.\d+))(?:e([+-]?\d{1,4}))?\s*(thousand|million|billion|[kmgbt]?)\s*"
    r"(|%|params?|parameters?|flops?|macs?|m?adds?|ops?)",
    re.IGNORECASE,
)


def number(text: str, percent: float | None = None) -> float | None:
    """Read a number that may have a magnitude (k, M, G or B, T), a percent sign or the name of a count behind it.

    Parameters
    ----------
    text : str
        The letters in any case; there are no marks between thousands.
    percent : float, optional
        What 1% stands for; by default a percent sign is no part of a number.

    Returns
    -------
    float or None
        The number nearest to what is written, None where that is no number.
    """
    found = _WRITTEN.fullmatch(text.strip())
    if found is None or (found[4] == "%" and (percent is None or found[3])):
        return None
    # The magnitude goes into the exponent, as 1.1 * 1e6 need not be the number nearest to 1100000.
    value = float(f"{found[1]}e{int(found[2] or 0) + _POWERS[found[3].lower()]}")
    return value * percent if found[4] == "%" and percent is not None else value
