"""The version of the training code, which is raised by hand.

Retraining is expensive, so a trained model's key holds this number instead of a digest of the code. A test fails when
the code in the closure of MODULES changes. Then either raise TRAIN_VERSION (the change alters what is trained) or
add the new digest to COMPATIBLE with a line that says why it does not.
"""

MODULES = (
    "priorgap.models.by_channel",
    "priorgap.models.continuous_bernoulli",
    "priorgap.models.gaussian_with_gaps",
    "priorgap.models.learned_scale",
    "priorgap.models.likelihoods",
    "priorgap.models.losses",
    "priorgap.models.families",
    "priorgap.models.gated",
    "priorgap.models.networks",
    "priorgap.models.normed",
    "priorgap.models.series",
    "priorgap.models.table_likelihood",
    "priorgap.models.vae",
    "priorgap.priors.flow",
    "priorgap.priors.mixture",
    "priorgap.priors.standard_normal",
    "priorgap.priors.vamp",
    "priorgap.training.batched.program",
    "priorgap.training.fit",
    "priorgap.training.gan",
)
TRAIN_VERSION = 2
# Maps a digest of the closure (code_digest(MODULES)) to what changed and why it is compatible.
COMPATIBLE: dict[str, str] = {
    "b447fb888faf3c4c3f5a378972c01a4f2e5941c74138a463a7e61375d5bdcd03": (
        "the second edition's first: public names in ids, trainer=batched; weights of trainer=default are as before"
    ),
    "8d6ef3ac4c0baa70792d6fde6f3a15b06697f69983b0b0f7b2f46022ed743d7c": (
        "likelihoods draw from means too, data and latents may carry numbers of contexts, data say whether their "
        "parts are exchangeable and observations whether they are series: no training uses any of it; families for "
        "series are added (TCN, GRU), forecasts of them, and likelihoods with a scale for each channel and of "
        "tables, which train nothing that was there before; one thread at a time sees global random state, and "
        "observations say how many of them are shown, and which feature space is usual for them; models that are "
        "told columns of a table are added, and share "
        "the code of forecasts, which train as before; windows may have missing-indicators, and a likelihood of "
        "their own, without which nothing changes; networks of gated layers are added, and choices of a VampPrior's "
        "pseudo-inputs, whose defaults are as before; precision=bf16 rounds a network as a whole and not its layers "
        "one by one: other last digits of such models alone; artifacts are written under temporary names that are "
        "known; convolutions with batch normalisation are added; a step of training asks once which layers are "
        "rounded, and drops gradients itself; interrupts wait while tensors are read or written, "
        "and one piece of code sets signal handlers back; where nobody looks on, a module takes several steps for "
        "each of Lightning's batches, with the same bits; the batched program can be on a GPU, and what it can train "
        "is said in a file of its own"
    ),
}
