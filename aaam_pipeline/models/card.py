"""The card of a bundle: what people should know of a model, made of what its bundle says (Mitchell et al. 2019)."""

from aaam_pipeline.models.info import BundleInfo

CARD = "card.md"
# the section of a card that `aaam-pipe model show` quotes
LICENCES = "Data and licences"


def write_card(info: BundleInfo) -> str:
    """Return a card in Markdown: training data, form, figures on validation, and each word with its support."""
    drawn = ", generated pictures: it says little about photographs" if info.generated else ""
    lines = [
        f"# {info.name}",
        "",
        f"An AAAM model ({info.architecture.backbone}, {info.preprocess.size} px) of {len(info.vocabulary)} words.",
        "",
        f"## {LICENCES}",
        "",
        f"Trained on the data set `{info.dataset}`{drawn}. Its terms hold for what was learnt from it.",
        "",
        "## Figures on validation",
        "",
        *_figures(info),
    ]
    if info.words:
        lines += ["", "## Words", "", "| word | train: yes | no | val: yes | no | AP |", "|---|---|---|---|---|---|"]
        for label, word in zip(info.vocabulary, info.words, strict=True):
            ap = "" if word.ap is None else f"{100 * word.ap:.1f}"
            cell = label.replace("|", "\\|")
            lines.append(f"| {cell} | {word.train_yes} | {word.train_no} | {word.val_yes} | {word.val_no} | {ap} |")
    return "\n".join([*lines, ""])


def _figures(info: BundleInfo) -> list[str]:
    found = info.metrics.get("val")
    lines = [f"- {name}: {value:.4g}" for name, value in found.items()] if isinstance(found, dict) else []
    if info.runtime and (loss := info.runtime.loss):
        taken = f"{info.runtime.precision} is what annotates without torch"
        lines.append(
            f"- int8: mAP {100 * loss.map_int8:.2f} beside {100 * loss.map_fp32:.2f} of fp32 ({loss.split}, "
            f"{loss.images} images); {taken}"
        )
    return lines or ["Not measured."]


def section(card: str, title: str) -> str:
    """Return the text of a section of a card, "" where it has none; its first line may be indented, as code is."""
    for each in f"\n{card}".split("\n## ")[1:]:
        name, _, text = each.partition("\n")
        if name.strip() == title:
            return text.strip("\n").rstrip()
    return ""
