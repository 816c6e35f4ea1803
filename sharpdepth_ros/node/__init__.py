# SPDX-License-Identifier: Apache-2.0
"""The lifecycle node: subscriptions, worker, publishers, parameters, diagnostics."""
