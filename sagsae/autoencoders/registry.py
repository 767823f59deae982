"""Names of the variants, where each is implemented, what sets them apart. Free of torch.

A name with a colon, ``my_package.module:Class``, is a class of a user's own package.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from difflib import get_close_matches
from importlib.util import find_spec
from typing import NamedTuple

# What sets the sparsity of a variant: the weight of a penalty, or the number of active latents.
LAMBDA, K = "lam", "k"
# Families of variants.
GATED, RELU, TOPK, JUMPRELU, MATRYOSHKA = "gated", "relu", "topk", "jumprelu", "matryoshka"


class Variant(NamedTuple):
    """A registered variant.

    Attributes:
        place: ``module:class`` inside ``sagsae.autoencoders``.
        family: Variants whose lambda weighs the same penalty, and which training settings they
            have.
        knob: What sets its sparsity: ``LAMBDA`` or ``K``.
        stem: The variant of one side that it is a form of; itself where empty.
        sides: Signs that its latents may have, 1 or 2.
    """

    place: str
    family: str = GATED
    knob: str = LAMBDA
    stem: str = ""
    sides: int = 1


# By name. A new variant adds one line.
VARIANTS: dict[str, Variant] = {
    "gated": Variant("gated:Gated"),
    "sagsae": Variant("sign_aware:FreeSignAware", stem="gated", sides=2),
    "sagsae_sym": Variant("sign_aware:SymmetricSignAware", stem="gated", sides=2),
    "sagsae_tied": Variant("sign_aware:TiedSignAware", stem="gated", sides=2),
    "sagsae_noaux": Variant("sign_aware:NoAuxiliarySignAware", stem="gated", sides=2),
    "sagsae_onesided": Variant("sign_aware:OneSidedSignAware", stem="gated"),
    "relu": Variant("relu:Relu", RELU),
    "absrelu": Variant("relu:AbsRelu", RELU, stem="relu", sides=2),
    "topk": Variant("topk:TopK", TOPK, K),
    "abstopk": Variant("topk:AbsTopK", TOPK, K, "topk", 2),
    "batchtopk": Variant("batchtopk:BatchTopK", TOPK, K),
    "absbatchtopk": Variant("batchtopk:AbsBatchTopK", TOPK, K, "batchtopk", 2),
    "jumprelu": Variant("jumprelu:JumpRelu", JUMPRELU),
    "absjumprelu": Variant("jumprelu:AbsJumpRelu", JUMPRELU, stem="jumprelu", sides=2),
    "matryoshka_batchtopk": Variant("matryoshka:Matryoshka", MATRYOSHKA, K),
    "matryoshka_absbatchtopk": Variant(
        "matryoshka:AbsMatryoshka", MATRYOSHKA, K, "matryoshka_batchtopk", 2
    ),
}

# The form of a name of a user's own class.
FOREIGN = re.compile(r"(?P<module>[A-Za-z_]\w*(\.[A-Za-z_]\w*)*):[A-Za-z_]\w*", re.ASCII)


def did_you_mean(name: str, known: Collection[str]) -> str:
    """Ends a message on an unknown name: a known one that it is near to, or whose words it
    abbreviates; empty where there is none."""
    initials = (other for other in known if "".join(w[:1] for w in other.split("_")) == name)
    found = next(iter([*get_close_matches(name, known, 1), *initials]), None)
    return f"; did you mean {found!r}?" if found else ""


def check_name(name: str) -> str:
    """The name, if it is registered, or of a class in a package that Python can find.

    Imports nothing, so whether the package has the class is seen when a job needs it.

    Raises:
        ValueError: neither; the message says what is possible.
    """
    if name in VARIANTS:
        return name
    found = FOREIGN.fullmatch(name)
    if found is None:
        raise ValueError(
            f"unknown variant {name!r}; known are {', '.join(sorted(VARIANTS))}, and a class of "
            f"your own is named my_package.module:Class{did_you_mean(name, VARIANTS)}"
        )
    package = found["module"].partition(".")[0]
    if package == "__main__" or find_spec(package) is None:  # a job has another __main__
        raise ValueError(
            f"variant {name!r}: Python finds no package {package!r}; install it, or put the folder "
            "that holds it on PYTHONPATH"
        )
    return name


def of_family(*families: str) -> list[str]:
    """The registered variants of some families, sorted."""
    return sorted(name for name, known in VARIANTS.items() if known.family in families)


def stem(name: str) -> str:
    """The one-sided variant that a variant is a form of; its own name where there is none."""
    return (VARIANTS[name].stem if name in VARIANTS else "") or name


def sides(name: str) -> int | None:
    """Signs that the latents of a variant may have, 1 or 2; None where nothing is known of it."""
    return VARIANTS[name].sides if name in VARIANTS else None


def stems(names: Iterable[str]) -> list[str]:
    """The one-sided variants that some variants are forms of, in the order of the registry. Those
    that are not registered have none."""
    found = {stem(name) for name in names if name in VARIANTS}
    return [name for name in VARIANTS if name in found]


def knobs(name: str) -> tuple[str, ...]:
    """What may set the sparsity of a variant: one of ``LAMBDA`` and ``K``, or either for a class
    of a user's own and for what was trained elsewhere."""
    return (VARIANTS[name].knob,) if name in VARIANTS else (LAMBDA, K)


def equal_knobs_compare(one: str, other: str) -> bool:
    """Whether two variants may be compared at an equal lambda, or at an equal k.

    A lambda means the same within a family alone, as each has a penalty of its own. Of classes that
    are not registered nothing is known, and they may.
    """
    if one not in VARIANTS or other not in VARIANTS:
        return True
    a, b = VARIANTS[one], VARIANTS[other]
    return a.knob == b.knob and (a.knob == K or a.family == b.family)
