"""Makes the synthetic study importable from the report's tests."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
