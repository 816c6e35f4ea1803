# SPDX-License-Identifier: Apache-2.0
"""`sharpdepth bag extract`: frames of a bag as a folder for training or evaluation."""
