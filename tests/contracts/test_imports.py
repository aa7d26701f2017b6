"""No module imports itself through others. Of this, import-linter sees only circles between siblings."""

from graphlib import CycleError, TopologicalSorter

import grimp


def test_imports_make_no_circle() -> None:
    """Imports inside functions count, and those for type checking alone."""
    graph = grimp.build_graph("aaam_pipeline", cache_dir=None)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        # each module of the list is imported by the next
        raise AssertionError(" <- ".join(error.args[1])) from None
