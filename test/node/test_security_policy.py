# SPDX-License-Identifier: Apache-2.0
"""config/sros2_policy.xml against the names that the running node has on the DDS."""

from pathlib import Path
from xml.etree import ElementTree

from sharpdepth_ros.node.lifecycle_bond import status_type

POLICY = Path(__file__).parents[2] / "config" / "sros2_policy.xml"

#: With the compressed transport, and with use_sim_time.
ONLY_WHEN_ASKED = {"/image/compressed", "/clock"}
#: The node has a bond with Nav2's lifecycle manager where the message is installed.
ABSENT = {"/bond"} if status_type() is None else set()


def allowed(section, right):
    """Full names that the policy allows, as `ros2 security create_permission` expands them."""
    profile = ElementTree.parse(POLICY).getroot().find("enclaves/enclave/profiles/profile")
    assert (profile.get("ns"), profile.get("node")) == ("/", "sharpdepth")
    names = set()
    for group in profile.findall(section):
        if group.get(right) == "ALLOW":
            names |= {_full(name.text) for name in group}
    return names


def _full(name):
    if name.startswith("~/"):
        return f"/sharpdepth/{name[2:]}"
    return name if name.startswith("/") else f"/{name}"


def test_the_policy_denies_nothing_and_allows_by_name():
    """A deny rule wins over allow rules, and a * would allow more than the node uses."""
    text = POLICY.read_text()
    assert "DENY" not in text and "*" not in text


def test_the_policy_allows_just_what_the_node_uses(start_node, peer):
    start_node(stand_in=True, sync="latest")
    peer.become_camera()
    peer.wait_until(lambda: "sharpdepth" in peer.node.get_node_names())
    node, found = peer.node, {}

    def names(listed):
        return {name for name, _ in listed}

    def all_there():
        # The node is discovered before its last endpoints are.
        found["subscribe"] = names(node.get_subscriber_names_and_types_by_node("sharpdepth", "/"))
        found["publish"] = names(node.get_publisher_names_and_types_by_node("sharpdepth", "/"))
        found["reply"] = names(node.get_service_names_and_types_by_node("sharpdepth", "/"))
        found["call"] = names(node.get_client_names_and_types_by_node("sharpdepth", "/"))
        return (
            found["subscribe"] >= allowed("topics", "subscribe") - ONLY_WHEN_ASKED - ABSENT
            and found["publish"] >= allowed("topics", "publish") - ABSENT
            and found["reply"] >= allowed("services", "reply")
        )

    peer.wait_until(all_there)
    assert found["subscribe"] <= allowed("topics", "subscribe")
    assert found["publish"] == allowed("topics", "publish") - ABSENT
    assert found["reply"] == allowed("services", "reply")
    assert found["call"] == allowed("services", "request") == set()


def test_the_policy_allows_the_compressed_transport_and_simulated_time(start_node, peer):
    start_node(stand_in=True, image_transport="compressed", use_sim_time=True)
    peer.wait_until(lambda: "sharpdepth" in peer.node.get_node_names())
    wanted = {"/image/compressed", "/camera_info", "/clock"}

    def subscribed():
        listed = peer.node.get_subscriber_names_and_types_by_node("sharpdepth", "/")
        return {name for name, _ in listed}

    peer.wait_until(lambda: subscribed() >= wanted)
    assert subscribed() <= allowed("topics", "subscribe")
