"""Make the pictures in docs/ anew: the browser test, with a folder to keep what it sees."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]

if __name__ == "__main__":
    test = [sys.executable, "-m", "pytest", "tests/walk/test_browser.py"]
    environment = os.environ | {"SWARM_PICTURES": str(ROOT / "docs")}
    sys.exit(subprocess.run(test, cwd=ROOT, env=environment, check=False).returncode)
