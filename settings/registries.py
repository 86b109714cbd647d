"""The names in the registries of other rooms, which are the choices of some flags.

A registry is a dict such as `learning.networks.NETWORKS`. The modules that hold one lie above this
room, and most import Keras, which `-h` does not wait for: their source is read instead.
"""

from __future__ import annotations

import ast

from system.root import ROOT


def names_in(registry: str) -> tuple[str, ...]:
    """Returns the names in a registry, in its order.

    Args:
        registry: the dict with its module, such as "learning.networks.NETWORKS". Its keys must be
            written out.

    Raises:
        LookupError: the module has no such dict.
    """
    module, _, wanted = registry.rpartition(".")
    source = ROOT / f"{module.replace('.', '/')}.py"
    for statement in ast.parse(source.read_bytes()).body:
        match statement:
            case (
                ast.AnnAssign(target=ast.Name(id=name), value=ast.Dict(keys=keys))
                | ast.Assign(targets=[ast.Name(id=name)], value=ast.Dict(keys=keys))
            ) if name == wanted:
                return tuple(ast.literal_eval(key) for key in keys if key)
    raise LookupError(f"{source} has no dict {wanted} with its keys written out")
