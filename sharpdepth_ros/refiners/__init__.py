# SPDX-License-Identifier: Apache-2.0
"""The methods that sharpen metric depth by an image, as functions of tensors."""
