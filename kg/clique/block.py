"""One post-norm transformer block on the tokens of each cell.

Imports torch: load it only where a network is trained.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional


class Block(nn.Module):
    r"""Self-attention and feed-forward part: a fully connected graph on the tokens of a cell.

    With tokens :math:`x` of a cell and heads :math:`h` of width :math:`w`:

    .. math::

        [q \; k \; v] = x W, \quad
        A^h = \mathrm{softmax}\big(q^h {k^h}^T / \sqrt{w}\big), \quad
        y = \mathrm{LN}\big(x + O [A^h v^h]_h\big), \quad
        z = \mathrm{LN}\big(y + F_2\, \mathrm{GELU}(F_1 y)\big)

    :math:`W` is one matrix without bias (Vaswani et al. 2017, post-norm).

    Parameters
    ----------
    hidden, heads, feed_forward
        Width of the tokens, heads, width between :math:`F_1` and :math:`F_2`.
    dropout
        Share of the entries dropped while training, of what both parts add.
    """

    def __init__(self, hidden: int, heads: int, *, feed_forward: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.joined = nn.Linear(hidden, 3 * hidden, bias=False)
        self.out = nn.Linear(hidden, hidden)
        self.norm_attended = nn.LayerNorm(hidden)
        self.forth = nn.Linear(hidden, feed_forward)
        self.back = nn.Linear(feed_forward, hidden)
        self.norm = nn.LayerNorm(hidden)
        self.dropout = nn.Dropout(dropout)

    def forward(self, asked: Tensor, known: Tensor, present: Tensor) -> Tensor:
        """Return the new state of some tokens.

        A row of the block rests on its own query alone, so only what is asked for is computed; a
        full pass asks for all that is known.

        Parameters
        ----------
        asked
            (n, m, hidden) tokens whose state is wanted.
        known
            (n, length, hidden) tokens that they attend to.
        present
            (n, length), ``False`` where ``known`` is padding.

        Returns
        -------
        Tensor
            (n, m, hidden).
        """
        query, key, value = self._split(asked, known)
        mask = present[:, None, None, :]
        attended = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        state = self.norm_attended(
            asked + self.dropout(self.out(attended.transpose(1, 2).flatten(2)))
        )
        changed = self.back(self.dropout(functional.gelu(self.forth(state))))
        result: Tensor = self.norm(state + self.dropout(changed))
        return result

    def weights(self, asked: Tensor, known: Tensor, present: Tensor) -> Tensor:
        """Return the attention averaged over heads, (n, m, length), rows sum to 1.

        Head by head, so that memory holds one (m, length) map a cell.
        """
        query, key, _ = self._split(asked, known)
        query = query * query.shape[-1] ** -0.5
        total = torch.zeros(len(asked), asked.shape[1], known.shape[1])
        for head in range(self.heads):
            scores = query[:, head] @ key[:, head].transpose(1, 2)
            total += scores.masked_fill(~present[:, None, :], -torch.inf).softmax(dim=-1)
        return total / self.heads

    def _split(self, asked: Tensor, known: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return queries of some tokens, keys and values of others, each (n, heads, ., width)."""
        hidden = asked.shape[-1]
        query = functional.linear(asked, self.joined.weight[:hidden])
        key, value = functional.linear(known, self.joined.weight[hidden:]).chunk(2, dim=-1)
        return self._by_head(query), self._by_head(key), self._by_head(value)

    def _by_head(self, part: Tensor) -> Tensor:
        n, length, hidden = part.shape
        return part.view(n, length, self.heads, hidden // self.heads).transpose(1, 2)
