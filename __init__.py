"""For Python started in the folder above a clone that is called `moca`, which finds the clone before the package.

`import moca` then runs this file, which puts the package inside the clone in its place. Nothing else reads it.
"""

import importlib.util
import sys
from pathlib import Path

if __name__ == "moca":
    _clone = Path(__file__).resolve().parent
    # The clone itself is searched, too: moca.adapters, moca.baselines and moca.weights are folders of it.
    _spec = importlib.util.spec_from_file_location(
        "moca", _clone / "moca" / "__init__.py", submodule_search_locations=[str(_clone / "moca"), str(_clone)]
    )
    sys.modules["moca"] = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(sys.modules["moca"])
