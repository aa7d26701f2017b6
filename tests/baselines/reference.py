"""The compared methods again, from the equations of their papers: plain loops, and other algebra for kernel CCA."""

import math

import numpy as np
from numpy.typing import NDArray

Table = list[list[float]]
Truth = list[list[int]]
Array = NDArray[np.float64]


def distance(one: list[float], other: list[float]) -> float:
    return math.dist(one, other)


def neighbours(query: list[float], train: Table, k: int) -> list[int]:
    """Return the k nearest, and all that are no farther away than the last of them."""
    away = [distance(query, each) for each in train]
    limit = sorted(away)[min(k, len(away)) - 1]
    return [number for number, each in enumerate(away) if each <= limit]


def knn(query: list[float], train: Table, truth: Truth, k: int) -> list[float]:
    near = neighbours(query, train, k)
    return [sum(truth[j][label] for j in near) / len(near) for label in range(len(truth[0]))]


def tagrel(query: list[float], train: Table, truth: Truth, k: int) -> list[float]:
    """Return (n_w[N(I, k)] - k |L_w| / N) / k, with as many neighbours as there are in place of k."""
    near = neighbours(query, train, k)
    scores = []
    for label in range(len(truth[0])):
        votes = sum(truth[j][label] for j in near)
        prior = len(near) * sum(row[label] for row in truth) / len(truth)
        scores.append((votes - prior) / len(near))
    return scores


def two_pass_knn(query: list[float], train: Table, truth: Truth, k: int, decay: float) -> list[float]:
    """Return sum over T_J of exp(-pi D) [has the label], over the sum of all exp(-pi D)."""
    chosen: set[int] = set()
    for label in range(len(truth[0])):
        having = [j for j, row in enumerate(truth) if row[label]]
        if having:
            chosen |= {having[place] for place in neighbours(query, [train[j] for j in having], k)}
    weights = {j: math.exp(-decay * distance(query, train[j])) for j in chosen}
    total = sum(weights.values())
    return [sum(w for j, w in weights.items() if truth[j][label]) / total for label in range(len(truth[0]))]


def tagprop_x(query: list[float], train: Table, truth: Truth, ids: list[int], theta: float) -> list[float]:
    """Return x_w = sum_j pi_j y_jw, pi_j proportional to exp(-theta d)."""
    weights = [math.exp(-theta * distance(query, train[j])) for j in ids]
    return [
        sum(w for j, w in zip(ids, weights, strict=True) if truth[j][label]) / sum(weights)
        for label in range(len(truth[0]))
    ]


def tagprop_loss(train: Table, truth: Truth, k: int, theta: float, alphas: list[float], betas: list[float]) -> float:
    """Return -L of TagProp with sigmoids, each image described by its k nearest others."""
    present = sum(map(sum, truth))
    absent = len(truth) * len(truth[0]) - present
    total = 0.0
    for i, query in enumerate(train):
        others = sorted((j for j in range(len(train)) if j != i), key=lambda j: distance(query, train[j]))[:k]
        for label, x in enumerate(tagprop_x(query, train, truth, others, theta)):
            p = 1 / (1 + math.exp(-(alphas[label] * x + betas[label])))
            total -= math.log(p) / present if truth[i][label] else math.log(1 - p) / absent
    return total


def combined(query: list[float], train: Table, truth: Truth, k: int, weight: float, own: list[float]) -> list[float]:
    """Return (1 - weight) p + weight sum_j c_j y_j / sum_j c_j, over the k nearest by cosine."""

    def cosine(one: list[float], other: list[float]) -> float:
        return sum(a * b for a, b in zip(one, other, strict=True)) / math.hypot(*one) / math.hypot(*other)

    cosines = [cosine(query, each) for each in train]
    near = sorted(range(len(train)), key=lambda j: -cosines[j])[:k]
    shares = [max(cosines[j], 0) for j in near]
    return [
        (1 - weight) * p + weight * sum(c for j, c in zip(near, shares, strict=True) if truth[j][label]) / sum(shares)
        for label, p in enumerate(own)
    ]


def linear_cca(x_ND: Array, y_NL: Array, kappa: float) -> tuple[Array, Array, Array]:
    """Return correlations, and directions of features (D, E) and labels (L, E), of ridge CCA in the primal.

    By a singular value decomposition of the whitened cross-covariance: with a linear kernel, kernel CCA is that.
    """
    x_ND, y_NL = x_ND - x_ND.mean(0), y_NL - y_NL.mean(0)

    def whitener(centred: Array) -> Array:
        # the mean eigenvalue of the kernel is the trace over the images
        ridge = kappa * np.square(centred).sum() / len(centred)
        values, vectors = np.linalg.eigh(centred.T @ centred + ridge * np.eye(centred.shape[1]))
        return np.asarray(vectors / np.sqrt(values) @ vectors.T)

    of_x, of_y = whitener(x_ND), whitener(y_NL)
    left, correlations, right = np.linalg.svd(of_x @ x_ND.T @ y_NL @ of_y, full_matrices=False)
    return correlations, of_x @ left, of_y @ right.T
