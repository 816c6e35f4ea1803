# SPDX-License-Identifier: Apache-2.0
"""What people look at: the Rerun viewer, an HTML report of a run, and turning point clouds."""
