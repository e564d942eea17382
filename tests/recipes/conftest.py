"""Recipes are scripts beside the package: their folder joins the path for these tests."""

from __future__ import annotations

import sys
from pathlib import Path

RECIPES = Path(__file__).parents[2] / "recipes"
if str(RECIPES) not in sys.path:
    sys.path.insert(0, str(RECIPES))
