"""A cache for several threads: what one of them computes, those who ask meanwhile wait for."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from threading import Lock
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class SharedCache(Generic[Key, Value]):
    """Keeps the values of a function that were used last. What it raises is raised for all who wait, and not kept."""

    def __init__(self, compute: Callable[[Key], Value], most: int) -> None:
        """Keep at most so many values of `compute`."""
        self._compute, self._most = compute, most
        self._values: OrderedDict[Key, Future[Value]] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Key) -> Value:
        """Return the value of a key, computed once however many ask for it at a time; raises what `compute` raises."""
        with self._lock:
            value = self._values.get(key)
            known = value is not None
            if value is None:
                value = self._values[key] = Future()
                if len(self._values) > self._most:
                    self._values.popitem(last=False)
            else:
                self._values.move_to_end(key)
        if not known:
            try:
                value.set_result(self._compute(key))
            except BaseException as error:
                with self._lock:
                    if self._values.get(key) is value:
                        del self._values[key]
                value.set_exception(error)
        return value.result()

    def after_fork(self) -> None:
        """Forget what the parent's other threads were computing: nobody finishes it in this child."""
        self._lock = Lock()
        self._values = OrderedDict((key, value) for key, value in list(self._values.items()) if value.done())
