"""Does the attention of a graph explain anything? Tests, and the card that shows them."""

from .asked import Asked, Explained, Train
from .card import CardOptions, FaithfulnessCard, faithfulness_card
from .retrain import retrainer

__all__ = [
    "Asked",
    "CardOptions",
    "Explained",
    "FaithfulnessCard",
    "Train",
    "faithfulness_card",
    "retrainer",
]
