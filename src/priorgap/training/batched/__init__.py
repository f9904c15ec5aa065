"""`trainer=batched`: many small fully connected VAEs trained as one program.

A model's weights are decided by its own configuration and the machine: the same bits in a batch of any size, at any
place (`numerics` says when). Between the program and Lightning's training of the same model there is rounding error.
"""

from priorgap.training.batched.program import Member, Outcome, refusal, train_batched

__all__ = ["Member", "Outcome", "refusal", "train_batched"]
