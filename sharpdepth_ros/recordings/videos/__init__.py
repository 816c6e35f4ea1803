# SPDX-License-Identifier: Apache-2.0
"""Depth of video files, by PyAV: read frame by frame, written beside the picture."""
