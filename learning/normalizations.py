"""How the hidden layers of a network are normalised: their outputs, or the kernels that make them.

layer ──► outputs ──► normalised ──► activation
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from keras import layers

from learning.layers import SpectralConv2D, WholeLayerNormalization

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class Normalization:
    """What a network does to normalise its hidden layers; by default nothing.

    Attributes:
        convolution: the class of convolutions.
        of_outputs: makes the layer that normalises outputs, or None for no such layer. It takes
            whether to divide by the deviation: where a later layer does so anyway, it may leave
            that out.
        removes_scale: whether a factor on all outputs for a state makes no difference to the
            normalised ones.
    """

    convolution: type[layers.Conv2D] = layers.Conv2D
    of_outputs: Callable[[bool], layers.Layer] | None = None
    removes_scale: bool = False

    def normalized(self, outputs: Any, divided: bool = True) -> Any:
        """Returns what goes into the activation, [B, ...] as `outputs` is."""
        return self.of_outputs(divided)(outputs) if self.of_outputs else outputs


NORMALIZATIONS: dict[str, Normalization] = {
    "none": Normalization(),
    "whole": Normalization(of_outputs=WholeLayerNormalization, removes_scale=True),
    "layer": Normalization(of_outputs=lambda divided: layers.LayerNormalization()),
    "spectral": Normalization(convolution=SpectralConv2D),
}
