"""Methods of other packages, found by their entry points:

    [project.entry-points."aaam_pipeline.methods"]
    my-method = "my_package.my_module:MyMethod"

An entry point names a class with `fit(features_ND, targets_NL)` and `predict_scores(features_MD)`. What else a `Method`
has (`grid`, `plan`, `partial_labels`) is optional; its hyper-parameters are the keyword arguments of its constructor.
"""

import inspect
from contextlib import suppress
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from aaam_pipeline.baselines.base import Features, Method, Targets, check_names
from aaam_pipeline.core.artifacts import file_sha256
from aaam_pipeline.core.errors import AaamError, UsageError
from aaam_pipeline.core.plugins import call_plugin, load_plugin

GROUP = "aaam_pipeline.methods"
"""The entry points of other packages' methods."""

VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


class PluginMethod(Method):
    """A class of another package behind the checks of `Method`; its scores are checked as well."""

    def __init__(self, name: str, plugin: type[Any], **params: Any) -> None:
        self._name, self._plugin, self._params = name, plugin, params
        accepted = call_plugin(name, inspect.signature, plugin).parameters.values()
        self._known = {each.name: each.default for each in accepted if each.kind not in VARIADIC}
        check_names(name, params, list(self._known))

    @property
    def title(self) -> str:
        """Return the name of the entry point."""
        return self._name

    @property
    def grid(self) -> dict[str, list[Any]]:  # type: ignore[override]
        """Return the plug-in's grid, or an empty one."""
        return dict(getattr(self._plugin, "grid", {}))

    @property
    def partial_labels(self) -> bool:  # type: ignore[override]
        """Return whether the plug-in says that it takes labels that are unknown."""
        return bool(getattr(self._plugin, "partial_labels", False))

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the hyper-parameters; `deep` changes nothing."""
        defaults = {name: value for name, value in self._known.items() if value is not inspect.Parameter.empty}
        return defaults | self._params

    def set_params(self, **params: Any) -> Self:
        """Change hyper-parameters.

        Raises:
            UsageError: there is none of this name.
        """
        check_names(self._name, params, list(self._known))
        self._params = self._params | params
        return self

    def with_params(self, params: dict[str, Any]) -> Self:
        """Return another method, not fitted, that differs in these hyper-parameters."""
        return type(self)(self._name, self._plugin, **self._params | params)

    def plan(self, images: int, dimension: int, labels: int) -> str:
        """Return what the plug-in says that `fit` will need, if it says so."""
        plan = getattr(self._instance(), "plan", None)
        return str(call_plugin(self._name, plan, images, dimension, labels)) if plan else ""

    def _instance(self) -> Any:
        return call_plugin(self._name, self._plugin, **self._params)

    def _fit(self, features_ND: Features, targets_NL: Targets) -> None:
        self.fitted_ = self._instance()
        call_plugin(self._name, self.fitted_.fit, features_ND, targets_NL)

    def _scores(self, features_BD: Features) -> NDArray[np.floating]:
        scores_BL = np.asarray(call_plugin(self._name, self.fitted_.predict_scores, features_BD))
        expected = (len(features_BD), self.labels_)
        if scores_BL.shape != expected or scores_BL.dtype.kind != "f":
            raise AaamError(
                f"{self._name} must give floating-point scores of shape {expected}, not {scores_BL.dtype} of shape "
                f"{scores_BL.shape}"
            )
        if not np.isfinite(scores_BL).all():
            raise AaamError(f"{self._name} gives scores that are NaN or infinite")
        return scores_BL


def create_plugin(name: str, **params: Any) -> PluginMethod | None:
    """Make a method of another package, or return None if no package has one of this name.

    Raises:
        UsageError: it cannot be imported, or is no class with `fit` and `predict_scores`, or two packages have one.
        UsageError: it has no such hyper-parameter.
    """
    plugin = _load(name)
    return PluginMethod(name, plugin, **params) if plugin else None


def plugin_identity(name: str) -> list[str]:
    """Return what the results of a plug-in come from: its package, and its source; empty for any other method."""
    with suppress(UsageError, OSError, TypeError):
        if plugin := _load(name):
            (point,) = entry_points(group=GROUP, name=name)
            package = [point.dist.name, point.dist.version] if point.dist else []
            return [*package, file_sha256(Path(inspect.getfile(plugin)))]
    return []


def _load(name: str) -> type[Any] | None:
    plugin = load_plugin(GROUP, name, "method", ("fit", "predict_scores"), "_+.-")
    if plugin is not None and not isinstance(plugin, type):
        raise UsageError(f"the method {name!r} is no class: its entry point must name one with fit and predict_scores")
    return plugin
