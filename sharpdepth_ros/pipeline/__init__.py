# SPDX-License-Identifier: Apache-2.0
"""Image in, metres out: the steps of SharpDepth and the pipeline that runs them in order."""
