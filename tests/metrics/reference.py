"""The metrics of section 5.2 of the paper once more, slowly and obviously: plain Python lists and loops, no NumPy."""

Table = list[list[float]]
Truth = list[list[int]]


def ranked(values: list[float]) -> list[int]:
    """Return positions by falling value; of equal values the earlier position comes first."""
    return sorted(range(len(values)), key=lambda position: (-values[position], position))


def mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def ap(hits: list[bool], relevant: int) -> float:
    """Return the sum of the precisions at every hit over the number of relevant ones."""
    found, total = 0, 0.0
    for position, hit in enumerate(hits, start=1):
        if hit:
            found += 1
            total += found / position
    return total / relevant if relevant else 0.0


def evaluate(scores: Table, targets: Truth, k: int) -> dict[str, float]:
    images, labels = range(len(scores)), range(len(scores[0]))
    assigned = [set(ranked(scores[n])[:k]) for n in images]
    precision, recall, label_ap = [], [], []
    for label in labels:
        positives = [n for n in images if targets[n][label]]
        if not positives:
            continue
        given = [n for n in images if label in assigned[n]]
        hits = [n for n in given if targets[n][label]]
        precision.append(len(hits) / len(given) if given else 0.0)
        recall.append(len(hits) / len(positives))
        order = ranked([scores[n][label] for n in images])
        label_ap.append(ap([bool(targets[n][label]) for n in order], len(positives)))
    image_precision, image_recall, image_ap = [], [], []
    for n in images:
        truth = {label for label in labels if targets[n][label]}
        image_precision.append(len(truth & assigned[n]) / len(assigned[n]))
        if truth:
            image_recall.append(len(truth & assigned[n]) / len(truth))
            image_ap.append(ap([label in truth for label in ranked(scores[n])[:10]], min(10, len(truth))))
    return {
        "precision_at_k": mean(precision),
        "recall_at_k": mean(recall),
        "map_at_10": mean(image_ap),
        "map": mean(label_ap),
        "n_plus": sum(value > 0 for value in recall),
        "precision_at_k_per_image": mean(image_precision),
        "recall_at_k_per_image": mean(image_recall),
    }


def f1(scores: list[float], targets: list[int], threshold: float) -> float:
    """Return the F1 of assigning the label to every image that scores at least `threshold`."""
    given = [score >= threshold for score in scores]
    hits = sum(one and bool(other) for one, other in zip(given, targets, strict=True))
    return 2 * hits / (sum(given) + sum(targets)) if sum(given) + sum(targets) else 0.0
