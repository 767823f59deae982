"""Numbers of the paper that claims are judged by and figures draw as lines, each written once."""

from __future__ import annotations

# R2 that SA-GSAE may fall short of Gated and still match it.
MATCHED_WITHIN = 0.025
# Least absolute fall of the dead fraction where SA-GSAE does not dominate.
DEAD_LOWER_BY = 0.35
# Least reduction of the dead fraction at MLP outputs, a geometric mean.
FEWER_DEAD_MLP = 100
# The same at attention outputs and residual streams.
FEWER_DEAD_OTHER = 2
