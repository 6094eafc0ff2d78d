"""Score the shipped seed tasks by the bundled model, into the folder that comes with the package.

    python scripts/ship_calibration.py

Run it when the seed tasks, the templates or the bundled model change: the name of each file is a
hash of what its scores depend on. One file for each type of weights.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from selfinstruct.generate.calibrate import SHIPPED
from selfinstruct.models import resolve_model

DTYPES = ("bfloat16", "float32")


def main() -> None:
    shutil.rmtree(SHIPPED, ignore_errors=True)  # what is there would be taken for the scores
    SHIPPED.mkdir()
    model = resolve_model("bundled", lambda *_: None)
    for dtype in DTYPES:
        with tempfile.TemporaryDirectory() as folder:
            models = Path(folder) / "models"
            models.symlink_to(model.path.parent)
            command = [sys.executable, "-m", "selfinstruct", "generate", "--dtype", dtype]
            command += ["--out", f"{folder}/run", "--max-rounds", "1"]
            command += ["--set", "propose.per_round=1"]
            subprocess.run(command, check=True, env={**os.environ, "SELFINSTRUCT_CACHE": folder})
            [made] = (Path(folder) / "calibration").iterdir()
            shutil.copy(made, SHIPPED)


if __name__ == "__main__":
    main()
