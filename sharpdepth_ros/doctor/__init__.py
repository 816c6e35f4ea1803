# SPDX-License-Identifier: Apache-2.0
"""`sharpdepth doctor`: examines the machine, and says of each thing whether it is well."""
