"""Records that travel: from one project's records/ to another's, in one file, and checked before they are let in.

manifest      what a pack says of itself: origin, locks, trainings, the hash of every file
pack          the zip: written with equal bytes for equal records, and opened with suspicion
gather        what goes into a pack
leaning       what a record leans on: files beside it, splits, its training
locks         the suites of a pack, as they are locked here
fingerprints  a record's fingerprints, made again from its own settings
scores        a record's scores, made again from its confusion
checks        all of these over a whole pack, a line per reason to refuse it
"""
