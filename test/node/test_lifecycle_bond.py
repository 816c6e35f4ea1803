# SPDX-License-Identifier: Apache-2.0
"""The bond with Nav2's lifecycle manager: its protocol, and with the message the node itself."""

import sys
from types import ModuleType

import pytest

from sharpdepth_ros.node import lifecycle_bond
from sharpdepth_ros.node.lifecycle_bond import Bond, BondState, manager_parameters, status_type


def test_a_bond_is_formed_by_the_first_heartbeat_of_the_other_side():
    bond = Bond()
    assert bond.state is BondState.WAITING
    assert not bond.hear("manager", active=True)
    assert bond.state is BondState.FORMED
    assert bond.beat()


def test_its_own_messages_and_those_of_a_third_side_change_nothing():
    bond = Bond()
    assert not bond.hear(bond.instance, active=True)
    assert bond.state is BondState.WAITING
    bond.hear("manager", active=True)
    assert not bond.hear("another manager", active=False)
    assert bond.state is BondState.FORMED


@pytest.mark.parametrize("formed", [False, True])
def test_the_end_of_the_other_side_is_acknowledged_once_and_ends_the_heartbeats(formed):
    bond = Bond()
    if formed:
        bond.hear("manager", active=True)
    assert bond.hear("manager", active=False)
    assert bond.state is BondState.ENDED
    assert not bond.hear("manager", active=False)
    assert not bond.hear("manager", active=True)
    assert not bond.beat()


def test_heartbeats_end_after_ten_seconds_that_nobody_answered():
    bond = Bond()
    beats = 0
    while bond.beat():
        beats += 1
    assert beats * lifecycle_bond.HEARTBEAT_PERIOD == 10.0


def test_a_formed_bond_lasts_however_long_it_is_quiet():
    """As Nav2's own nodes: the manager watches the node, not the node the manager."""
    bond = Bond()
    bond.hear("manager", active=True)
    assert all(bond.beat() for _ in range(1000))


def test_a_manager_without_the_package_bond_gets_no_timeout_and_the_reason(monkeypatch):
    monkeypatch.delitem(sys.modules, "bond.msg", raising=False)
    monkeypatch.setitem(sys.modules, "bond", None)
    parameters, reason = manager_parameters(["sharpdepth"])
    assert parameters == {"autostart": True, "node_names": ["sharpdepth"], "bond_timeout": 0.0}
    assert "bond.msg cannot be imported" in reason


def test_another_package_named_bond_is_not_taken_for_it(monkeypatch):
    monkeypatch.delitem(sys.modules, "bond.msg", raising=False)
    monkeypatch.setitem(sys.modules, "bond", ModuleType("bond"))
    assert status_type() is None


needs_bond = pytest.mark.skipif(status_type() is None, reason="needs bond/msg/Status (Nav2)")


@needs_bond
def test_the_manager_waits_for_heartbeats_where_the_package_bond_is_installed():
    assert manager_parameters(["sharpdepth"])[0]["bond_timeout"] == 4.0


@needs_bond
def test_the_node_keeps_a_bond_from_activate_to_deactivate(start_node, peer):
    statuses = peer.listen("bond", status_type())
    start_node(stand_in=True, autostart=False)
    assert peer.transition("configure")
    assert not statuses.messages
    for _ in range(2):
        statuses.forget()
        assert peer.transition("activate")
        first = statuses.wait_for_count(3)[0]
        assert (first.id, first.active) == ("sharpdepth", True)
        assert peer.transition("deactivate")
        last = statuses.wait_for(lambda m: not m[-1].active)[-1]
        assert last.instance_id == first.instance_id


@needs_bond
def test_a_manager_that_leaves_is_answered(start_node, peer):
    status = status_type()
    statuses = peer.listen("bond", status)
    manager = peer.node.create_publisher(status, "bond", 5)
    node = start_node(stand_in=True)
    statuses.wait_for_count(1)
    alive = status(id="sharpdepth", instance_id="manager", active=True)
    peer.wait_until(
        lambda: manager.publish(alive) or "with the lifecycle manager: formed" in node.log
    )
    manager.publish(status(id="sharpdepth", instance_id="manager", active=False))
    statuses.wait_for(lambda m: m[-1].instance_id not in ("", "manager") and not m[-1].active)
    assert peer.state() == "active"
