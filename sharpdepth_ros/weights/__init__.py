# SPDX-License-Identifier: Apache-2.0
"""Where weights are: the demo's, the released ones on this machine, and how they get there."""
