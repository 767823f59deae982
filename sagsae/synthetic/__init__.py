"""Synthetic protocols: data whose features are known, and measures against that truth.

A, the Polarity Dial (`polarity_dial`); B, feature-direction anomalies (`anomalies`); C,
consolidation of antipodal pairs (`consolidation`). Names and claims are the paper's (arXiv
2605.28149); generators, sizes and exact measures are reconstructions.
"""
