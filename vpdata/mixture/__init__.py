"""Mixtures: data sets and ratios enter, the sample at every global position leaves as a pure function."""
