"""Classes for data without labels: clusters of the training rows, which a network then learns to tell apart."""

import torch
from jaxtyping import Int
from torch import Tensor

from priorgap.data.splits import as_float

# Clusters are found on at most this many rows; the other rows are assigned to the nearest cluster.
_MOST_ROWS = 20_000
_MOST_CLUSTERS, _MOST_COMPONENTS = 32, 50
# The least number of rows for each cluster, because a network learns nothing from smaller ones.
_ROWS_A_CLUSTER = 20


def n_clusters_of(n: int) -> int:
    """Return the number of clusters for n rows: 32, or fewer for few rows."""
    return min(_MOST_CLUSTERS, n // _ROWS_A_CLUSTER)


def cluster_labels(x: Tensor, *, generator: torch.Generator) -> Int[Tensor, "n"]:
    """Return the cluster of each row: k-means on the leading principal components of the values.

    Args:
        x: training rows, uint8 images or floats.
        generator: draws the rows on which the clusters are found, and the initial centres.

    Returns:
        Integers from 0 to `n_clusters_of(n)` - 1. The same in every run on one machine, because one thread computes.

    Raises:
        ValueError: there are too few rows for two clusters; one line.
    """
    from sklearn.cluster import KMeans
    from sklearn.decomposition import PCA
    from threadpoolctl import threadpool_limits

    k = n_clusters_of(len(x))
    if k < 2:
        raise ValueError(
            f"features=classifier: {len(x)} training rows without labels; expected at least {2 * _ROWS_A_CLUSTER}, "
            "or features=[pixels]"
        )
    rows = torch.randperm(len(x), generator=generator)[:_MOST_ROWS]
    seed = int(torch.randint(2**31, (), generator=generator))
    values = as_float(x[rows]).flatten(1).numpy()
    n_components = min(_MOST_COMPONENTS, *values.shape)
    # With several threads the order of additions, and so the rounding, would differ from run to run.
    with threadpool_limits(1):
        components = PCA(n_components, svd_solver="covariance_eigh").fit(values)
        means = KMeans(k, n_init=1, random_state=seed).fit(components.transform(values))
        found = [
            means.predict(components.transform(as_float(part).flatten(1).numpy())) for part in x.split(10_000)
        ]
    return torch.cat([torch.from_numpy(part) for part in found]).long()
