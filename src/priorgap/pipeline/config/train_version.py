"""The hand-raised version of the training code.

Retraining is dear, so a trained model's key holds this number instead of a digest of the code. A test fails when
the code in the closure of MODULES changes. Then either raise TRAIN_VERSION (the change alters what is trained) or
add the new digest to COMPATIBLE with a line that says why it does not.
"""

MODULES = (
    "priorgap.models.continuous_bernoulli",
    "priorgap.models.learned_scale",
    "priorgap.models.likelihoods",
    "priorgap.models.losses",
    "priorgap.models.families",
    "priorgap.models.networks",
    "priorgap.models.vae",
    "priorgap.priors.flow",
    "priorgap.priors.mixture",
    "priorgap.priors.standard_normal",
    "priorgap.priors.vamp",
    "priorgap.training.batched.program",
    "priorgap.training.fit",
    "priorgap.training.gan",
)
TRAIN_VERSION = 1
# digest of the closure (code_digest(MODULES)) -> what changed, and why it is compatible
COMPATIBLE: dict[str, str] = {
    "f46b6cabfb1db1e9c592fdfaa484a19ece1b5211e08ae4a0db34e6240eb892ea": "the first version",
    "69abccc5b2ee234f4ae69915494fa0050cdce16d5f632b799bfa8b3ac96256a1": (
        "learned priors, likelihoods, loss options, binarisation, conditional models, autoencoder, GAN: what was "
        "there before computes the same operations in the same order (equal weights, bit for bit)"
    ),
    "af8a91c166bb89252cdf62ce19255c8af7caef1b9bff9bf5fbaab329c20611b4": (
        "trainer.precision: null, the default, takes the path that was there before (equal weights, bit for bit)"
    ),
    "3b1b7d5dd145008183067fd646e3859c03628fcbf374ebe9665b7361cbbcf9b6": (
        "fused_steps: Adam's kernel is called without the optimiser's bookkeeping (equal weights and state, bit for "
        "bit: tests/test_fused_steps.py)"
    ),
    "145678ef4ad03c6b0ce0ba0c80ece742d375d771785390939444fe4f4c73f101": (
        "models answer for themselves (traits, raw, describe, check_objective): the same operations in the same order"
    ),
    "830209594e59235ec9ed2d70ae380ca87628f85a87ec995196fc6709d6f13395": (
        "typed configuration: TrainerConfig in training/config.py, Lightning imported in training/lightning.py, "
        "scipy inside functions, more ranges checked; what is computed stays"
    ),
    "06381410be4a4ef695f78bb64888b180235b6aa3272c7ad0ad3e64b29f0d8e11": (
        "the two changes above together, on receivers that judge classes before a call; what is computed stays"
    ),
    "3659c41cca276971ec757bc7a1cddeebe93d1059dd04b6cf249492f973ded917": (
        "trainer=batched beside the default trainer, whose steps are as they were (settings and checks in modules of "
        "their own)"
    ),
}
