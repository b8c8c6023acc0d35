# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tests of NetworkManager's tunnel profiles have in common."""

import mock_nm
from mock_nm import connection
from peer_test import PeerTest


class TunnelTest(PeerTest):
    """A link up0 whose profile "LTE" has no keys, and NetworkManager."""

    source = "NetworkManager"

    def new_peer(self):
        return mock_nm.MockNm(self.bus)

    def setUp(self):
        super().setUp()
        self.nm = self.peer
        self.nm.add_device("up0", connection("LTE"))
