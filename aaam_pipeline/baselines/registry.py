"""The compared methods by name, in the order of the paper's tables; a method's module is loaded when it is made.

Installed packages can add methods (plugins.py).
"""

from difflib import get_close_matches
from importlib import import_module
from typing import Any, NamedTuple

from aaam_pipeline.baselines.base import Method
from aaam_pipeline.baselines.plugins import GROUP, create_plugin
from aaam_pipeline.core.errors import UsageError
from aaam_pipeline.core.extras import explain
from aaam_pipeline.core.plugins import plugin_names


class _Entry(NamedTuple):
    """Where a method is: module of this room, class, and the hyper-parameters that its name fixes."""

    module: str
    kind: str
    fixed: dict[str, Any] = {}  # noqa: RUF012


_METHODS = {
    "softmax": _Entry("linear", "Softmax"),
    "logistic": _Entry("linear", "Logistic"),
    "svm": _Entry("linear", "Svm"),
    "bce": _Entry("networks", "Bce"),
    "warp": _Entry("networks", "Warp"),
    "knn": _Entry("neighbours", "Knn"),
    "2pknn": _Entry("neighbours", "TwoPassKnn"),
    "tagrel": _Entry("neighbours", "TagRel"),
    "tagprop": _Entry("tagprop", "TagProp"),
    "tagprop-linear": _Entry("tagprop", "TagProp", {"sigmoid": False}),
    "tagprop-rank": _Entry("tagprop", "TagProp", {"weights": "rank"}),
    "tagprop-rank-linear": _Entry("tagprop", "TagProp", {"weights": "rank", "sigmoid": False}),
    "kcca": _Entry("kcca", "Kcca"),
    "kcca+svm": _Entry("kcca", "KccaThen", {"base": "svm"}),
    "kcca+knn": _Entry("kcca", "KccaThen", {"base": "knn"}),
    "kcca+2pknn": _Entry("kcca", "KccaThen", {"base": "2pknn"}),
    "kcca+tagrel": _Entry("kcca", "KccaThen", {"base": "tagrel"}),
    "kcca+tagprop": _Entry("kcca", "KccaThen", {"base": "tagprop"}),
    "cnn-rnn": _Entry("cnn_rnn", "CnnRnn"),
    "combined": _Entry("combined", "Combined"),
}
NAMES = tuple(_METHODS)


def names() -> tuple[str, ...]:
    """Return the names of all methods: those of this package, then those that other installed packages add.

    Raises:
        UsageError: another package has a method of a name that is taken here.
    """
    added = plugin_names(GROUP)
    if taken := sorted(_METHODS.keys() & set(added)):
        raise UsageError(f"another package adds a method {taken[0]!r}, which is built in: rename its entry point")
    return (*NAMES, *added)


def create(name: str, **params: Any) -> Method:
    """Make a method that is not fitted yet, from its name and hyper-parameters; what is left out has its default.

    Raises:
        UsageError: there is no such method, or it has no such hyper-parameter; the message has the nearest name.
        UsageError: the method needs a library that is not installed, or cannot be imported from another package.
    """
    if name not in _METHODS:
        if plugin := create_plugin(name, **params):
            return plugin
        known = names()
        close = get_close_matches(name, known, n=1)
        hint = f"did you mean {close[0]!r}? known:" if close else "known:"
        raise UsageError(f"no method {name!r}; {hint} {', '.join(known)}")
    entry = _METHODS[name]
    try:
        kind = getattr(import_module(f"{__package__}.{entry.module}"), entry.kind)
        method: Method = kind(**entry.fixed)
    except ModuleNotFoundError as error:
        raise UsageError(f"{name}: {explain(error) or error}") from None
    return method.set_params(**params)
