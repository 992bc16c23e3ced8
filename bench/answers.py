# SPDX-FileCopyrightText: 2026 The preheat authors
# SPDX-License-Identifier: GPL-2.0-or-later
"""What a guest must say."""


class WrongAnswer(RuntimeError):
    """A guest said something that is not right: the load is no load."""
