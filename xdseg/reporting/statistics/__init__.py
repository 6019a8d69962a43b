"""Statistics of the boards, each right at the sample size at hand and saying so; docs/statistics.md gives the reasons.

estimate     a mean with its t interval, its p and the smallest difference that it could have detected
seeds        differences on one pair, over the seeds that both rows have
clusters     gains over pairs, which share domains
ranks        ranks over pairs, what they leave open, and groups that cannot be told apart
hypotheses   Wilcoxon's signed ranks; Holm's adjustment over methods
detectable   smallest detectable difference, from the noncentral t
closed       share of the gap between floor and ceiling
bootstrap    resampling of recordings, shared by all methods
images       the interval of one pair's scores over the target's images
"""
