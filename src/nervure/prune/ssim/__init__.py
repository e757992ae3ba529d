"""Filters grouped by SSIM: clustering, the choice of how many groups, and the search over both.

Spec ssim-kmeans-pruning, 2, after Al Dallal (2021). Weights alone decide; no data is looked at.
"""
