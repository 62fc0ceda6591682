"""What the library costs, each figure beside the same work done with the bare driver, taken in turns in one run.

`make bench`, or `python -m benchmarks [--only P4 webhooks] [--engines sqlite] [--seconds 2] [--json FILE]`.

Absolute figures belong to the machine and the moment; the ratios are what may be compared. Every benchmark afterwards
compares what was acknowledged with what is stored, and the command fails where they differ.
"""
