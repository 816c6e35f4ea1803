# SPDX-License-Identifier: Apache-2.0
"""Networks whose state dicts match the released checkpoints, and the registry that names them."""
