# SPDX-License-Identifier: Apache-2.0
"""Runs the command as `python -m sharpdepth_ros.cli`."""

import sys

from sharpdepth_ros.cli import main

sys.exit(main())
