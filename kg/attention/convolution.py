"""The convolution of :mod:`scypher.kg.attention`: PyG's GATv2, through compiled kernels on the CPU.

Imports torch: load it only where a network is trained.
"""

import warnings
from typing import Any, Literal

import torch
from torch import Tensor

from .kernel import gatv2_messages

with warnings.catch_warnings():
    # torch 2.15 deprecates torch.jit.script, which torch-geometric calls on import
    warnings.filterwarnings("ignore", message=r".*torch\.jit\.script", category=FutureWarning)
    from torch_geometric.nn import GATv2Conv

Path = Literal["auto", "kernel", "pyg"]


class GATv2(GATv2Conv):  # type: ignore[misc]  # torch-geometric ships no types
    """Bipartite GATv2 (Brody, Alon and Yahav 2022), the function and parameters of PyG's layer.

    A state of ``GATv2Conv((s, t), out, heads=heads, add_self_loops=False, edge_dim=edge_dim)``
    loads. Self-loops are never added: they would join a source and a target of equal number.

    Parameters
    ----------
    sizes
        Width of sources and of targets.
    out
        Width of each head.
    heads
        Number of heads; the result is their concatenation.
    edge_dim
        Number of edge attributes, ``None`` for edges without.
    path
        ``auto`` takes the compiled kernel for float32 on the CPU and torch-geometric elsewhere;
        ``kernel`` and ``pyg`` take one of them always.
    """

    def __init__(
        self,
        sizes: tuple[int, int],
        out: int,
        *,
        heads: int = 1,
        edge_dim: int | None = None,
        path: Path = "auto",
    ) -> None:
        super().__init__(sizes, out, heads=heads, add_self_loops=False, edge_dim=edge_dim)
        self.path = path

    def uses_kernel(self, ends: tuple[Tensor, Tensor]) -> bool:
        """Return whether these states go through the compiled kernel."""
        if self.path != "auto":
            return self.path == "kernel"
        return all(end.device.type == "cpu" and end.dtype == torch.float32 for end in ends)

    def forward(
        self,
        ends: tuple[Tensor, Tensor],
        edges: Tensor,
        attributes: Tensor | None = None,
        return_attention_weights: bool | None = None,
    ) -> Any:
        """Return the (n_targets, heads * out) messages.

        Parameters
        ----------
        ends
            (n_sources, s) and (n_targets, t) states.
        edges
            (2, n_edges) int64, sources above targets; fastest with targets in order.
        attributes
            (n_edges, edge_dim), for a layer that has ``edge_dim``.
        return_attention_weights
            If given, the result is (messages, (edges, (n_edges, heads) attention)).

        Raises
        ------
        InputError
            If attributes do not fit, in the compiled kernel.
        IndexError
            If an edge names a node that is not there.
        """
        if not self.uses_kernel(ends):
            given = {"edge_attr": attributes, "return_attention_weights": return_attention_weights}
            return super().forward(ends, edges, **given)
        source, target = edges
        order = None
        if not bool((target[1:] >= target[:-1]).all()):
            order = torch.argsort(target, stable=True)
            source, target = source[order], target[order]
            attributes = None if attributes is None else attributes[order]
        with_edge = self.lin_edge is not None and attributes is not None
        messages, alpha = gatv2_messages(
            self.lin_l(ends[0]),
            self.lin_r(ends[1]),
            self.att[0],
            indptr=_starts(target, len(ends[1])),
            source=source,
            edge=attributes if with_edge else None,
            weight=self.lin_edge.weight.T if with_edge else None,
            slope=self.negative_slope,
        )
        messages = messages + self.bias
        if return_attention_weights is None:
            return messages
        if order is not None:
            alpha = torch.empty_like(alpha).index_copy(0, order, alpha)
        return messages, (edges, alpha)


def _starts(target: Tensor, n_targets: int) -> Tensor:
    """Return (n_targets + 1,) places where the edges of each target begin, targets in order."""
    if len(target) and not 0 <= int(target[0]) <= int(target[-1]) < n_targets:
        message = (
            f"targets from {int(target[0])} to {int(target[-1])}; expected rows of {n_targets} "
            "targets, from 0; pass numbers of the given targets"
        )
        raise IndexError(message)
    counts = torch.bincount(target, minlength=n_targets)
    return torch.cat([counts.new_zeros(1), counts.cumsum(0)])
