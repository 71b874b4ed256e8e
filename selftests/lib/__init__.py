# SPDX-License-Identifier: GPL-2.0
"""What the programs of this folder share."""
