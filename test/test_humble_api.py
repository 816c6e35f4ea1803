# SPDX-License-Identifier: Apache-2.0
"""What the package uses of ROS exists in ROS 2 Humble, whose API is recorded in test/data.

Humble itself does not run here. So the uses are collected from the source: what is imported, how it
is called, and the members of each variable whose type can be told from annotations, from the class
that it was made of, or from what a recorded function returns.
"""

import ast
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
RECORD = json.loads((ROOT / "test/data/ros_humble_api.json").read_text())
API, ALIASES, MODULES = RECORD["api"], RECORD["aliases"], set(RECORD["modules"])
PACKAGES = {name.split(".")[0] for name in (*API, *MODULES)}

#: Where a difference between distributions may be.
COMPATIBILITY = ROOT / "sharpdepth_ros/node/ros_compat.py"
SOURCES = sorted([*(ROOT / "sharpdepth_ros").rglob("*.py"), *(ROOT / "launch").glob("*.py")])
#: Its one use is the same everywhere: CvBridge().imgmsg_to_cv2.
UNRECORDED = {"cv_bridge"}


def canonical(name: str) -> str | None:
    """The recorded name of an object, its module or a module's package; None: there is none."""
    if name in API or name in MODULES or name in PACKAGES:
        return name
    if name in ALIASES:
        return canonical(ALIASES[name])
    package, _, _ = name.rpartition(".")
    if any(known.startswith(f"{name}.") for known in (*API, *MODULES)):
        return name
    return None if not package else _member_name(package, name)


def _member_name(owner: str, name: str) -> str | None:
    owner = canonical(owner)
    member = f"{owner}.{name.rpartition('.')[2]}"
    return member if owner and member != name and canonical(member) else None


def member(kind: str, name: str) -> dict | None:
    """A member of a class, from it or its bases; None: it has none of that name."""
    entry = API.get(kind, {})
    if "members" not in entry:  # compiled, or a value: not recorded
        return {}
    if name in entry["members"]:
        return entry["members"][name]
    if f"{kind}.{name}" in API:
        return {"is": f"{kind}.{name}"}
    for base in entry.get("bases", ()):
        if base in API and (found := member(base, name)) is not None:
            return found
    return None if all(base in API for base in entry.get("bases", ())) else {}


def keywords_of(kind: str, call: str) -> set[str] | None:
    """The keywords of a call; None: any. `**` passes them on to the bases of the class."""
    names = {name.strip("*= ") for name in call.split(",") if not name.strip().startswith("**")}
    if "**" not in call:
        return names
    passed = [base for base in API.get(kind, {}).get("bases", ()) if base in API]
    for base in passed:
        further = keywords_of(base, API[base].get("call", "**any"))
        if further is None:
            return None
        names |= further
    return names if passed else None


class Uses(ast.NodeVisitor):
    """Finds what a module uses of ROS, and what of that is not recorded."""

    def __init__(self) -> None:
        self.used: set[str] = set()
        self.missing: set[str] = set()
        self._names: dict[str, str] = {}  # local name -> what was imported
        self._scopes: list[dict[str, str]] = [{}]  # variable -> its class
        self._attributes: dict[str, str] = {}  # attribute of self -> its class

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self._import(alias.name, alias.asname or alias.name.split(".")[0], alias.asname)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        for alias in node.names:
            self._import(f"{node.module}.{alias.name}", alias.asname or alias.name, True)

    def _import(self, name: str, local: str, whole: object) -> None:
        package = name.split(".")[0]
        if package in UNRECORDED or not (package in PACKAGES or package.endswith("_msgs")):
            return
        self._names[local] = name if whole else package
        self._note(name, canonical(name) is not None)

    def _note(self, name: str, there: bool) -> None:
        (self.used if there else self.missing).add(name)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        before, self._attributes = self._attributes, {}
        bases = [kind for base in node.bases if (kind := self._object(base))]
        self._scopes.append({"self": bases[0]} if bases else {})
        # Twice: the first time for the attributes that the methods give to self.
        for _ in range(2):
            self.generic_visit(node)
        self._scopes.pop()
        self._attributes = before

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        scope = {}
        for argument in [*node.args.args, *node.args.kwonlyargs]:
            if argument.annotation is not None and (kind := self._annotated(argument.annotation)):
                scope[argument.arg] = kind
        self._scopes.append(scope)
        self.generic_visit(node)
        self._scopes.pop()

    def visit_Assign(self, node: ast.Assign) -> None:
        self.generic_visit(node)
        for target in node.targets:
            pairs = [(target, node.value)]
            if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                pairs = zip(target.elts, node.value.elts, strict=False)
            for name, value in pairs:
                if kind := self._kind(value):
                    self._remember(name, kind)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self.generic_visit(node)
        if kind := self._annotated(node.annotation):
            self._remember(node.target, kind)

    def _remember(self, target: ast.expr, kind: str) -> None:
        if isinstance(target, ast.Name):
            self._scopes[-1][target.id] = kind
        elif isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name):
            self._attributes[target.attr] = kind

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self.generic_visit(node)
        self._resolve(node)

    def visit_Call(self, node: ast.Call) -> None:
        self.generic_visit(node)
        resolved = self._resolve(node.func)
        if resolved is None or "call" not in resolved[1]:
            return
        name, entry = resolved
        known = keywords_of(name, entry["call"])
        for keyword in node.keywords:
            if keyword.arg is not None and known is not None:
                self._note(f"{name}({keyword.arg}=)", keyword.arg in known)
        plain = entry["call"].split("*")[0].split(",")
        limit = len([parameter for parameter in plain if parameter.strip()])
        given = [a for a in node.args if not isinstance(a, ast.Starred)]
        if "*" not in entry["call"].replace("**", "").replace("*, ", ""):
            self._note(f"{name}({len(given)} arguments)", len(given) <= limit)

    def _resolve(self, node: ast.expr) -> tuple[str, dict] | None:
        """The recorded entry that an expression names, and its name; notes whether it exists."""
        if name := self._object(node):
            return name, API.get(name, {})
        if not isinstance(node, ast.Attribute):
            return None
        owner = self._object(node.value) or self._kind(node.value)
        if owner is None:
            return None
        if node.attr == "__init__":
            return owner, API.get(owner, {})
        if owner in MODULES or owner in PACKAGES:
            self._note(f"{owner}.{node.attr}", False)
            return None
        is_self = isinstance(node.value, ast.Name) and node.value.id == "self"
        entry = member(owner, node.attr)
        # What self has, the class here may have brought.
        if not (is_self and entry is None) and not node.attr.startswith("_"):
            self._note(f"{owner}.{node.attr}", entry is not None)
        return None if entry is None else (f"{owner}.{node.attr}", entry)

    def _object(self, node: ast.expr) -> str | None:
        """The canonical name of a module, class or function that an expression names."""
        if isinstance(node, ast.Name):
            return canonical(self._names[node.id]) if node.id in self._names else None
        if isinstance(node, ast.Attribute) and (owner := self._object(node.value)):
            found = canonical(f"{owner}.{node.attr}")
            if found and owner in MODULES | PACKAGES:
                self.used.add(found)
            return found
        return None

    def _annotated(self, node: ast.expr) -> str | None:
        """The class that an annotation names; of a union, the one that is recorded."""
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            return self._annotated(ast.parse(node.value, mode="eval").body)
        if isinstance(node, ast.BinOp):
            return self._annotated(node.left) or self._annotated(node.right)
        return self._object(node)

    def _kind(self, node: ast.expr) -> str | None:
        """The class of a value, where that can be told."""
        if isinstance(node, ast.Name):
            return next((s[node.id] for s in reversed(self._scopes) if node.id in s), None)
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name) and node.func.id == "super":
                return self._kind(ast.Name("self"))
            resolved = self._resolve(node.func)
            if resolved is None:
                return None
            name, entry = resolved
            return name if "members" in entry else entry.get("returns")
        if isinstance(node, ast.Attribute):
            of_self = isinstance(node.value, ast.Name) and node.value.id == "self"
            if of_self and node.attr in self._attributes:
                return self._attributes[node.attr]
            resolved = self._resolve(node)
            return resolved and (resolved[1].get("returns") or resolved[1].get("is"))
        return None


def uses_of(source: str) -> Uses:
    uses = Uses()
    uses.visit(ast.parse(source))
    return uses


def test_all_that_is_used_of_ros_is_in_humble():
    missing = {path: uses_of(path.read_text()).missing for path in SOURCES if path != COMPATIBILITY}
    assert not {str(path.relative_to(ROOT)): names for path, names in missing.items() if names}


def test_the_differences_are_where_they_belong_and_no_more_than_are_needed():
    assert uses_of(COMPATIBILITY.read_text()).missing == {
        "rclpy.event_handler",
        "rclpy.node.Node.add_post_set_parameters_callback",
    }


def test_the_uses_that_matter_are_seen():
    used = set().union(*(uses_of(path.read_text()).used for path in SOURCES))
    assert used >= {
        "rclpy.context.Context.try_shutdown",
        "rclpy.node.Node.create_guard_condition",
        "rclpy.lifecycle.node.LifecycleNode.create_service",
        "rclpy.lifecycle.node.LifecycleNode.create_timer(clock=)",
        "rclpy.lifecycle.node.LifecycleNode.get_publishers_info_by_topic",
        "rclpy.node.Node.declare_parameter",
        "rclpy.qos.ReliabilityPolicy.BEST_EFFORT",
        "sensor_msgs.msg.CameraInfo",
        "launch_ros.actions.node.Node(emulate_tty=)",
        "launch.actions.SetEnvironmentVariable",
    }
    assert len(used) > 150


@pytest.mark.parametrize(
    ("source", "missing"),
    [
        ("from rclpy.event_handler import SubscriptionEventCallbacks", "rclpy.event_handler."),
        ("import rclpy.event_handler", "rclpy.event_handler"),
        ("import rclpy\nrclpy.spin_for_a_while(1)", "rclpy.spin_for_a_while"),
        ("import rclpy\nrclpy.init(quickly=True)", "(quickly=)"),
        (
            "from rclpy.qos_event import SubscriptionEventCallbacks as S\nS(matched=print)",
            "(matched=)",
        ),
        (
            "from rclpy.node import Node\n"
            "def f(node: Node | None): node.add_post_set_parameters_callback(print)",
            "add_post_set_parameters_callback",
        ),
        (
            "from rclpy.lifecycle import LifecycleNode\n"
            "class A:\n"
            "    def use(self): self._node.create_timer(0.1, print, autostart=False)\n"
            "    def __init__(self, node: LifecycleNode): self._node, self.x = node, 1",
            "create_timer(autostart=)",
        ),
        (
            "from rclpy.lifecycle import LifecycleNode\n"
            "class A(LifecycleNode):\n"
            "    def __init__(self): super().__init__('a', enable_logger_service=True)",
            "(enable_logger_service=)",
        ),
        (
            "from rclpy.node import Node\ndef f(node: Node): node.get_clock().sleep_sometimes(1)",
            "sleep_sometimes",
        ),
        ("from sensor_msgs.msg import Image\nImage(colour=1)", "(colour=)"),
        ("from sensor_msgs.msg import Image\ndef f(i: Image): i.header.stamp.hours", "Time.hours"),
        ("from lifecycle_msgs.srv import ChangeState\nChangeState.Request(when=1)", "(when=)"),
        ("from sensor_msgs.msg import DepthImage", "sensor_msgs.msg.DepthImage"),
        ("from moon_msgs.msg import Crater", "moon_msgs.msg.Crater"),
        ("from launch.actions import TimeTravel", "launch.actions.TimeTravel"),
        ("from launch_ros.actions import Node\nNode(executable='a', wings=2)", "(wings=)"),
    ],
)
def test_what_humble_lacks_is_found(source, missing):
    found = uses_of(source).missing
    assert any(missing in name for name in found), found
