"""The tutorial's claim: a module that a user writes before a study."""

from __future__ import annotations

from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "tutorial.md"
_, _, _after = PAGE.read_text().partition("Save this as `my_claims.py`")
TEXT = _after.partition("```python\n")[2].partition("```")[0]
