"""`trainer=batched`: many small fully connected VAEs trained as one program.

A model's weights depend only on its own configuration and the machine: they have the same bits in a batch of any size
and at any place (`numerics` says when). They differ from those of Lightning's training of the same model by rounding
errors.
"""

from priorgap.training.batched.program import Member, Outcome, train_batched
from priorgap.training.batched.scope import refusal

__all__ = ["Member", "Outcome", "refusal", "train_batched"]
