# SPDX-License-Identifier: GPL-2.0
"""VMGENIDs for the tests: all different, and no byte order gives the same text."""

A = "1a000001-c0de-4a5e-8d15-0123456789ab"
B = "1b000002-c0de-4a5e-8d15-0123456789ab"
C = "1c000003-c0de-4a5e-8d15-0123456789ab"
D = "1d000004-c0de-4a5e-8d15-0123456789ab"
