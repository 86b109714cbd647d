"""The choices of a flag are the names in a registry."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from learning.distributions import DISTRIBUTIONS
from learning.initializers import INITIALIZERS
from learning.networks import NETWORKS
from learning.normalizations import NORMALIZATIONS
from learning.optimizers import OPTIMIZERS
from learning.targets import LOSSES
from replay.packing import CODECS
from settings.config import Config
from settings.registries import names_in

CHOICES = {each.name: each.metadata["choices"] for each in fields(Config)}


@pytest.mark.parametrize(
    ("setting", "registry"),
    [
        ("distribution", DISTRIBUTIONS),
        ("frame_codec", {"none": None, **CODECS}),
        ("initializer", INITIALIZERS),
        ("loss", LOSSES),
        ("network", NETWORKS),
        ("normalization", NORMALIZATIONS),
        ("optimizer", OPTIMIZERS),
    ],
)
def test_choices_of_a_flag_are_the_names_in_its_registry(
    setting: str, registry: dict[str, Any]
) -> None:
    assert CHOICES[setting] == tuple(registry)


@pytest.mark.parametrize("name", ["NOTHING", "names_in"])
def test_what_is_no_registry_is_an_error_that_names_it(name: str) -> None:
    with pytest.raises(LookupError, match=name):
        names_in(f"settings.registries.{name}")
