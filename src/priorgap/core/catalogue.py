"""The catalogue: every measure that the metrics of conf/metric compute, in the order of the tables.

`docs/methods.md` says how each is computed. A metric of an outside package brings entries of its own, in its
`measures`; `united` puts both together.
"""

from functools import partial
from typing import Any

from priorgap.core.measures import Measure

_SHARE = (0.0, 1.0)
_POSITIVE = (0.0, None)


_quality = partial(Measure, section="quality")
_copying = partial(Measure, section="copying")
_accuracy = partial(Measure, section="accuracy")
_latent = partial(Measure, section="latent")
_bands = partial(Measure, section="bands")

QUALITY = (
    _quality("fid", "FID", "Fréchet distance of samples to test images in a feature space.", scale="log",
        range=_POSITIVE, by="class", needs_space=True, direction="lower", rankable=True),
    _quality("kid", "KID",
        "Unbiased squared MMD of samples and test images, cubic kernel; may be negative.",
        direction="lower", rankable=True, second_opinion=True),
    _quality("precision", "precision", "Share of samples that lie among real images.", range=_SHARE,
        direction="higher", rankable=True),
    _quality("recall", "recall", "Share of real images that lie among samples.", range=_SHARE,
        direction="higher", rankable=True),
    _quality("density", "density", "How many real images' neighbourhoods a sample lies in, on average.",
        range=_POSITIVE, direction="higher", rankable=True, second_opinion=True),
    _quality("coverage", "coverage", "Share of real images with a sample in their neighbourhood.",
        range=_SHARE, direction="higher", rankable=True, second_opinion=True),
    _quality("fid_infinity", "FID at infinitely many samples",
        "FID extrapolated to infinitely many samples and images.", needs_space=True, direction="lower"),
    _quality("vendi", "Vendi score", "Effective number of distinct samples, cosine kernel of features.",
        range=(1.0, None)),
    _quality("vendi_ratio", "Vendi score over that of test images",
        "Variety of samples beside that of real images.", null=1.0, range=_POSITIVE),
    _quality("sharpness", "sharpness", "Mean variance of the Laplacian of samples; noise raises it too.",
        range=_POSITIVE),
    _quality("sharpness_ratio", "sharpness over that of test images",
        "Below 1 is blur; above 1 is no praise.", null=1.0, range=_POSITIVE),
    _quality("class_balance", "class imbalance",
        "Total variation between class shares of samples and of test images.", range=_SHARE,
        direction="lower"),
    _quality("class_share", "class shares", "The labeller's share of each class among samples.",
        range=_SHARE, by="class"),
    _quality("fid_floor", "FID of real images against real images",
        "The floor that a sampler's FID is held against; by chance one may lie a little below it.",
        range=_POSITIVE, needs_space=True),
    _quality("fid_reconstruction", "FID of reconstructions", "What the decoder's blur costs by itself.",
        scale="log", range=_POSITIVE, needs_space=True, direction="lower"),
    _quality("fid_null_bias", "FID expected from the sample sizes alone",
        "The part of the floor that the sizes explain; no floor of its own.", range=_POSITIVE, needs_space=True),
)  # fmt: skip

# Measures that compare windows of samples with test windows; their floors are values of training windows.
SERIES = (
    _quality("autocorrelation_distance", "autocorrelation distance",
        "Mean difference of autocorrelations from those of test windows.", range=(0.0, 2.0), by="channel",
        direction="lower", rankable=True),
    _quality("autocorrelation_floor", "autocorrelation distance of real windows",
        "Of training windows; what a sampler's is held against.", range=(0.0, 2.0)),
    _quality("cross_correlation_distance", "cross-correlation distance",
        "Mean difference of lagged correlations of pairs of channels from those of test windows.",
        range=(0.0, 2.0), by="channel", direction="lower", rankable=True),
    _quality("cross_correlation_floor", "cross-correlation distance of real windows",
        "Of training windows; what a sampler's is held against.", range=(0.0, 2.0)),
    _quality("spectrum_distance", "spectrum distance",
        "Total variation between normalised power spectra; blind to the amplitude.", range=_SHARE,
        by="channel", direction="lower", rankable=True),
    _quality("spectrum_floor", "spectrum distance of real windows",
        "Of training windows; what a sampler's is held against.", range=_SHARE),
    _quality("step_marginal_distance", "distance of values at each step",
        "Wasserstein-1 at each step, in standard deviations of the channel; blind to the order in time.",
        range=_POSITIVE, by="channel", direction="lower", rankable=True),
    _quality("step_marginal_floor", "distance of values at each step, real windows",
        "Of training windows; what a sampler's is held against.", range=_POSITIVE),
)  # fmt: skip

# Measures that compare rows of samples with test rows, and what a classifier tells apart; their floors are values of
# training rows.
TABLES = (
    _quality(
        "column_shapes",
        "column shapes",
        "How alike each column's values are to those of test rows: 1 - Kolmogorov-Smirnov or total variation.",
        range=_SHARE,
        by="column",
        direction="higher",
        rankable=True,
    ),
    _quality(
        "column_shapes_floor",
        "column shapes of real rows",
        "Of training rows; what a sampler's is held against.",
        range=_SHARE,
    ),
    _quality(
        "pair_trends",
        "pair trends",
        "How alike pairs of columns go together: correlations and contingency tables.",
        range=_SHARE,
        by="pair of columns",
        direction="higher",
        rankable=True,
    ),
    _quality(
        "pair_trends_floor",
        "pair trends of real rows",
        "Of training rows; what a sampler's is held against.",
        range=_SHARE,
    ),
    _quality(
        "rare_category_share",
        "share of rare categories",
        "Of the categories that are rare in training rows, the share that samples hold.",
        range=_SHARE,
        direction="higher",
    ),
    _quality(
        "rare_category_share_floor",
        "share of rare categories in test rows",
        "Of the categories that are rare in training rows, the share that test rows hold.",
        range=_SHARE,
    ),
    _quality(
        "rare_category_mass",
        "mass of rare categories",
        "What rare categories take of samples over what they take of training rows.",
        null=1.0,
        range=_POSITIVE,
    ),
    _quality(
        "rare_category_mass_floor",
        "mass of rare categories in test rows",
        "What rare categories take of test rows over what they take of training rows.",
        null=1.0,
        range=_POSITIVE,
    ),
)

DETECTION = (
    _quality("detection_auc", "detection AUC",
        "How well a classifier tells samples from test rows it has not seen; 0.5 where it cannot.", null=0.5,
        range=_SHARE, direction="lower", rankable=True),
    _quality("detection_auc_floor", "detection AUC of real rows",
        "How well a classifier tells training rows from test rows; drift, where test rows are later ones.",
        null=0.5, range=_SHARE),
)  # fmt: skip

# Measures of series as papers define them. Copies of training windows have the best values, so none of them ranks.
PUBLISHED_SERIES = (
    _quality("discriminative_score", "discriminative score",
        "|accuracy - 1/2| of a GRU between samples and test windows; copies of training windows pass.",
        range=(0.0, 0.5), direction="lower"),
    _quality("predictive_score", "predictive score",
        "Error of next steps of test windows by a GRU trained on samples; copies of training windows pass.",
        range=_POSITIVE, direction="lower"),
    _quality("predictive_real", "predictive score of real windows",
        "The same network trained on as many training windows: the good end.", range=_POSITIVE),
    _quality("predictive_persistence", "predictive score of persistence",
        "Each step predicted by the one before: what needs no learning.", range=_POSITIVE),
    _quality("mdd", "marginal distribution difference",
        "Of histograms at each step and channel; blind to time, to channels together and to copies.",
        range=_POSITIVE, direction="lower"),
)  # fmt: skip

COPYING = (
    _copying("identical_share", "identical share",
        "Share of samples that are a training image, to within a grey level.", range=_SHARE),
    _copying("identical_share_floor", "identical share of test images",
        "Share of test images that are a training image, to within a grey level.", range=_SHARE),
    _copying("near_copy_share", "near-copy share",
        "Share of samples with a training image much nearer to them than any other image.", range=_SHARE),
    _copying("near_copy_share_floor", "near-copy share of test images",
        "Share of test images with a training image much nearer to them than any other image.", range=_SHARE),
    _copying("near_train_share", "train share of near copies",
        "Of the images that samples are near copies of, how often it is a training image, at as many unseen ones.",
        null=0.5, range=_SHARE),
    _copying("near_copy_excess", "near-copy excess",
        "Share of samples nearer to a training image than honest draws are, beyond what these have.",
        null=0.0, range=(-1.0, 1.0), direction="lower", rankable=True),
    _copying("train_share", "train share",
        "How often a sample is nearer to training images than to as many unseen ones.", null=0.5,
        range=_SHARE),
    _copying("dcr", "distance to the closest record",
        "A low quantile (5 %) of samples' distances to their closest training row; copies lie below its floor.",
        range=_POSITIVE),
    _copying("dcr_floor", "distance to the closest record of test rows",
        "The same quantile of test rows' distances to their closest training row.", range=_POSITIVE),
    _copying("nndr", "nearest-neighbour distance ratio",
        "A low quantile (5 %) of the distance to the closest training row over that to the second closest.",
        range=_SHARE),
    _copying("nndr_floor", "nearest-neighbour distance ratio of test rows",
        "The same quantile of test rows' ratios.", range=_SHARE),
    _copying("memorisation_auc", "memorisation AUC",
        "Whether training made an image's own posterior draw closer to the training set.", null=0.5,
        range=_SHARE),
    _copying("source_auc", "source AUC", "Draws sit near their source; no evidence of copying.",
        range=_SHARE),
    _copying("c_t", "C_T",
        "Negative where samples are nearer to training images than test images are; blur confounds it.",
        null=0.0),
    _copying("authenticity", "authenticity",
        "Share of samples farther from their training image than that is from its own neighbour.",
        range=_SHARE),
    _copying("fld", "feature likelihood divergence",
        "How badly a density of samples describes test images.", needs_space=True, direction="lower"),
    _copying("fld_gap", "FLD's gap between training and test images",
        "Below 0 where samples fit training images better.", null=0.0),
)  # fmt: skip

ACCURACY = (
    _accuracy("accuracy_real_to_synthetic", "real→synthetic accuracy",
        "A classifier of real images scores labelled samples.", range=_SHARE, by="class",
        direction="higher", rankable=True),
    _accuracy("accuracy_synthetic_to_real", "synthetic→real accuracy",
        "A classifier trained on samples scores real test images.", range=_SHARE, by="class",
        direction="higher", rankable=True),
    _accuracy("accuracy_real_to_real", "real→real accuracy",
        "The ceilings: classifiers of real images on real images.", range=_SHARE, by="class",
        direction="higher"),
    _accuracy("tstr_auc", "synthetic→real AUC",
        "A classifier trained on samples ranks real test rows by class.", range=_SHARE, direction="higher",
        rankable=True),
    _accuracy("trtr_auc", "real→real AUC", "The same classifier, trained on as many real rows.",
        range=_SHARE, direction="higher"),
    _accuracy("tstr_gap", "synthetic→real AUC less real→real",
        "What training on samples costs, paired over test rows.", null=0.0, range=(-1.0, 1.0),
        direction="higher"),
    _accuracy("tstr_forecast", "forecast learned from samples",
        "Of real test windows, between none (0: the last step stays) and one learned from real windows (1).",
        direction="higher", rankable=True),
    _accuracy("accuracy_over_seeds", "synthetic→real accuracy over classifier seeds",
        "The mean over classifiers trained on samples.", range=_SHARE, by="class", direction="higher"),
    _accuracy("real_equivalent", "worth in real images",
        "So many labelled real images train as good a classifier as the samples do.",
        range=_POSITIVE, direction="higher"),
    _accuracy("accuracy_by_size", "real→real accuracy by size",
        "Accuracy at growing numbers of real training images.", range=_SHARE, by="real training images",
        direction="higher"),
)  # fmt: skip

LATENT = (
    _latent("rate", "rate R", "How much a code tells of its image; no mismatch.", range=_POSITIVE,
        by="latent unit", unit="nat"),
    _latent("active_units_var", "active units (variance)", "Units whose mean varies over images.",
        range=_POSITIVE),
    _latent("active_units_rate", "active units (rate)", "Units with a rate.", range=_POSITIVE),
    _latent("marginal_kl", "mismatch of the marginals",
        "KL(q(z_j)‖p(z_j)) of each unit; the whole is their sum.", range=_POSITIVE, by="latent unit",
        direction="lower", unit="nat"),
    _latent("marginal_tv", "total variation of the marginals", "Between each unit's q and N(0, 1).",
        range=_SHARE, by="latent unit", direction="lower"),
    _latent("marginal_w1", "Wasserstein-1 of the marginals",
        "Between each unit's q and N(0, 1), in latent units.", range=_POSITIVE, by="latent unit",
        direction="lower"),
    _latent("unit_dependence_linear", "linear dependence of the unit on the others",
        "From the aggregate covariance alone.", range=_POSITIVE, by="latent unit", unit="nat"),
    _latent("unit_dependence", "dependence of the unit on the others",
        "I(z_j; all other units) by a fitted mixture; as good as the fit.", by="latent unit", unit="nat"),
    _latent("kl_diag", "mismatch: diagonal moments",
        "What means and variances of the units explain of KL(q‖p).", direction="lower", unit="nat"),
    _latent("kl_diag_train", "mismatch: diagonal moments on training images",
        "Below 0.05 in a converged model.", direction="lower", unit="nat"),
    _latent("kl_corr", "mismatch: correlation", "What the units' correlation explains of KL(q‖p).",
        direction="lower", unit="nat"),
    _latent("kl_train_mixture", "mixture over training posteriors",
        "The number that is often printed: a description.", unit="nat"),
    _latent("hole_mass", "prior mass in holes, H(1 %)", "Share of prior draws where q has next to nothing.",
        null=0.01, range=_SHARE),
    _latent("hole_curve", "prior mass in holes, H(level)",
        "The same at each level; the level itself where q = p.", range=_SHARE, by="level"),
    _latent("kl_prior_to_fit", "KL(p‖f) of the fitted density", "From the prior to a density fitted to q.",
        direction="lower", unit="nat"),
    _latent("effective_share", "effective sample size of f/p, share",
        "An upper reading of how much of p is in q.", null=1.0, range=_SHARE),
    _latent("tv_lower", "total variation from below",
        "By classifiers of draws of q and p; TV(q, p) is at least that.", range=(-1.0, 1.0),
        by="classifier", direction="lower"),
    _latent("mmd2", "squared MMD, minus its null", "Between draws of q and of p.", null=0.0),
    _latent("mmd2_p", "squared MMD: p-value", "Of q = p, by repeated draws of p.", range=_SHARE),
    _latent("sliced_w2", "sliced W2², minus its null", "Between draws of q and of p.", null=0.0),
    _latent("sliced_w2_p", "sliced W2²: p-value", "Of q = p, by repeated draws of p.", range=_SHARE),
    _latent("radius_ks", "radius against χ², minus its null",
        "Kolmogorov distance of |z|² from chi-squared.", null=0.0),
    _latent("radius_p", "radius against χ²: p-value", "Of |z|² being chi-squared.", range=_SHARE),
    _latent("elbo", "ELBO", "Lower bound of log p(x) of test images.", direction="higher", unit="nat"),
    _latent("iw_bound", "importance-weighted bound of log p(x)",
        "Tighter than the ELBO, the more draws the tighter.", by="draws of z", direction="higher",
        unit="nat"),
    _latent("amortisation_gap", "amortisation gap",
        "What the encoder loses against each image's best posterior.", direction="lower", unit="nat"),
    _latent("distortion", "distortion", "-log p(x|z) of test images with its normaliser.",
        direction="lower", unit="nat"),
    _latent("distortion_sse", "squared error", "Of reconstructions of test images.", range=_POSITIVE,
        direction="lower"),
    _latent("explained_share", "share of variance that reconstructions explain",
        "1 minus their squared error over that of the mean training image; 0 where they are no better.",
        range=(None, 1.0), direction="higher"),
    _latent("dimension_wise_kl", "dimension-wise KL, asymptotic 97.5 % bracket", "The marginals' part of KL(q‖p).",
        direction="lower", unit="nat"),
    _latent("dimension_wise_kl_point", "dimension-wise KL, point values",
        "The bracket's ends without their limits.", direction="lower", unit="nat"),
    _latent("total_correlation", "total correlation, asymptotic 97.5 % bracket",
        "The units' dependence in KL(q‖p).", direction="lower", unit="nat"),
    _latent("total_correlation_point", "total correlation, point values",
        "The bracket's ends without their limits.", direction="lower", unit="nat"),
    _latent("kl_flow", "mismatch KL(q(z)‖p(z)), asymptotic bracket with a flow",
        "As kl, a flow among its densities.", direction="lower", unit="nat"),
    _latent("kl_flow_point", "mismatch KL(q(z)‖p(z)) with a flow, point values",
        "The bracket's ends without their limits.", direction="lower", unit="nat"),
    _latent("kl_point", "mismatch KL(q(z)‖p(z)), point values", "The bracket's ends without their limits.",
        direction="lower", unit="nat"),
    _latent("kl_largest_share", "largest share of one image in the bracket's variance",
        "Above a tenth the bracket's limits do not hold: heavy tails.", range=_SHARE),
    _latent("kl_upper_floor", "least upper end that so many images allow",
        "rate - 2 log n; above 0 the mismatch is not resolvable from n images.", range=_POSITIVE, unit="nat"),
    _latent("kl_rows_per_parameter", "training images a parameter of a full Gaussian",
        "Below 2 density fits are too poor to tell that there is no mismatch.", range=_POSITIVE),
    _latent("kl", "mismatch KL(q(z)‖p(z)), asymptotic 97.5 % bracket",
        "What sampling the prior suffers from, between two ends.", direction="lower", unit="nat"),
)  # fmt: skip


def _pair(quality: str, title: str, **more: Any) -> tuple[Measure, Measure]:
    return (
        _bands(f"{quality}_by_density", f"{title} by density", "In bands of f(z)/p(z): an association.",
            by="draws and band", **more),
        _bands(f"{quality}_step", f"change of {title} after a step",
            "Of the same draws, moved along the density's slope.", null=0.0, by="direction", **more),
    )  # fmt: skip


BANDS = (
    *_pair("realism", "realism", direction="higher"),
    *_pair("entropy", "classifier entropy", direction="lower", unit="nat"),
    *_pair("inconsistency", "inconsistency of re-encoding", direction="lower"),
    *_pair("log_ratio", "log f/p", unit="nat"),
)

BUILTIN: dict[str, Measure] = {
    m.name: m
    for m in (*QUALITY, *SERIES, *TABLES, *DETECTION, *PUBLISHED_SERIES, *COPYING, *ACCURACY, *LATENT, *BANDS)
}


def catalogued(*names: str) -> tuple[Measure, ...]:
    """Return the entries of the built-in measures with these names."""
    return tuple(BUILTIN[name] for name in names)
