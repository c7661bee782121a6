"""Speakers and labels, by name or by number."""

from __future__ import annotations

from distill.contract import DataSpec


def label_index(spec: DataSpec, name: str, given: str | int | None) -> int:
    """Return the number of a label. A name goes before a number, and digits may be either.

    Arguments:
        spec: Of a model that wants it.
        name: Of the feature: `speaker`, `label`.
        given: What was asked for.

    Errors:
        ValueError: The model does not know it.

    Example:
        >>> from distill.contract import FeatureSpec
        >>> voices = {"speaker": FeatureSpec("label", 2)}
        >>> spec = DataSpec(None, features=voices, settings={"speakers": ["7", "1"]})
        >>> label_index(spec, "speaker", 1), label_index(spec, "speaker", "0")
        (1, 0)
    """
    names = [str(known) for known in spec.settings.get(f"{name}s", [])]
    if str(given) in names:
        return names.index(str(given))
    digits = isinstance(given, str) and given.isascii() and given.isdecimal()
    number = int(given[:9]) if isinstance(given, str) and digits else given
    size = spec.features[name].size
    if isinstance(number, int) and not isinstance(number, bool) and 0 <= number < size:
        return number
    known = ", ".join(names) or f"0 to {size - 1}"
    got = "none" if given is None else repr(given)
    raise ValueError(f"{name}: the model wants one of {known}, got {got}. Give it with {name}=.")
