# SPDX-License-Identifier: Apache-2.0
"""Parameter files and rules give a node what rcl gives it."""

import sys

import pytest

rclpy = pytest.importorskip("rclpy", reason="needs ROS 2 (pip install .[ros])")


from sharpdepth_ros.node.parameter_server import ParameterServer  # noqa: E402
from sharpdepth_ros.node.start_arguments import ignored, started_with  # noqa: E402
from sharpdepth_ros.processing.parameter_files import Overrides  # noqa: E402
from sharpdepth_ros.processing.parameters import SPECS, Parameters  # noqa: E402
from sharpdepth_ros.recordings.bags.node_parameters import read_parameters  # noqa: E402


def section(name: str, **values: object) -> str:
    lines = "".join(f"    {key}: {value}\n" for key, value in values.items())
    return f"{name}:\n  ros__parameters:\n{lines}"


@pytest.fixture
def argument_list(tmp_path):
    """Files by their text, and rules, as ROS arguments."""

    def make(*texts: str, rules: tuple[str, ...] = ()) -> list[str]:
        arguments = ["program", "--ros-args"]
        for number, text in enumerate(texts):
            file = tmp_path / f"{number}.yaml"
            file.write_text(text)
            arguments += ["--params-file", str(file)]
        for rule in rules:
            arguments += ["-p", rule]
        return arguments

    return make


@pytest.fixture
def with_node(domain):
    """Calls a function with a node that was started with these arguments."""

    def call(arguments, namespace, function, **options):
        context = rclpy.Context()
        rclpy.init(args=arguments, context=context, domain_id=domain)
        try:
            node = rclpy.create_node("sharpdepth", namespace=namespace, context=context, **options)
            try:
                return function(node)
            finally:
                node.destroy_node()
        finally:
            context.try_shutdown()

    return call


NESTED = """\
front:
  sharpdepth:
    ros__parameters:
      point_stride: 2
      qos_overrides:
        /image:
          subscription:
            reliability: reliable
  ros__parameters: {other: 1}
"""
SCALARS = section(
    '"/**"', a="1e-2", b="y", c="2026-11-30", d="1_000", e="0x10", f="010", g="08", h="1:30",
    i="~", j=".inf", k="nan", l="'5'", m="!!str 5", n="[1, 2]", o="-3", p="Off",
    q="99999999999999999999",
)  # fmt: skip
FILES = {
    "a wildcard after the node's name": (section("sharpdepth", n=4) + section("/**", n=2),),
    "a wildcard before the node's name": (section("/**", n=2) + section("sharpdepth", n=4),),
    "a full name": (section("/front/sharpdepth", n=2),),
    "nested names": (NESTED,),
    "another node, a partial wildcard": (section("other", x=1) + section("/**/sharpdepth", n=2),),
    "one level": (section("/*", n=1) + section("/*/sharpdepth", n=2) + section("/*/*", n=3),),
    "patterns without a slash": (section('"*"', n=1) + section('"**"', m=2),),
    "several files": (section("/**", n=1), section("sharpdepth", n=2), section("/**", n=3)),
    "the same name again": (section("sharpdepth", n=1, m=2) + section("sharpdepth", n=3),),
    "scalars": (SCALARS,),
    "a dotted name beside nested ones": ("/**: {ros__parameters: {a.b: 1, a: {b: 2, c: 3}}}",),
    "an empty file": ("",),
}  # fmt: skip


@pytest.mark.parametrize("namespace", ["/", "/front"])
@pytest.mark.parametrize("case", FILES)
def test_a_node_has_the_values_that_are_foretold(case, namespace, argument_list, with_node):
    rules = ("n:=7", "sharpdepth:r:=[true, false]") if case == "several files" else ()
    arguments = argument_list(*FILES[case], rules=rules)

    def values_of(node):
        given = node.get_parameters_by_prefix("")
        return node.get_fully_qualified_name(), {name: p.value for name, p in given.items()}

    name, real = with_node(
        arguments, namespace, values_of, automatically_declare_parameters_from_overrides=True
    )
    foretold = started_with(arguments).of(name)
    for own in ("use_sim_time", "start_type_description_service"):
        real.pop(own, None)
    assert repr(dict(sorted(foretold.items()))) == repr(dict(sorted(real.items())))


@pytest.mark.parametrize(
    ("texts", "rules"),
    [
        ((section("/**", max_depth=20, sync_slop="1e-2"),), ()),
        # rcl keeps the integer of a parameter that is given as an integer and then as a double.
        ((section("/**", max_depth=20),), ("max_depth:=10.5",)),
        ((section("/**", max_depth=20.5), section("/**", max_depth=8)), ()),
        ((section("sharpdepth", point_stride=4) + section("/**", point_stride=2),), ("model:=x",)),
        ((section("/**/sharpdepth", mode="metric"),), ("min_depth:=1", "lotus_steps:=0x2")),
    ],
)
def test_the_node_and_a_bag_have_the_same_parameters(
    texts, rules, argument_list, with_node, tmp_path, monkeypatch
):
    arguments = argument_list(*texts, rules=rules)
    monkeypatch.setattr(sys, "argv", arguments)
    files = sorted(tmp_path.glob("*.yaml"))

    def values_of(node):
        server = ParameterServer(node, lambda: False, lambda: None)
        return server.values, {name: node.get_parameter(name).value for name in SPECS}

    values, declared = with_node(arguments, "/", values_of)
    assert values == read_parameters(files, rules) != Parameters()
    assert Parameters(**declared) == values
    assert all(type(declared[name]) is type(getattr(Parameters(), name)) for name in SPECS)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (section("/**", lotus_steps="4.0"), "lotus_steps is an integer, got 4.0"),
        (section("/**", model="0123"), "model is a string, got 83: quote it"),
        (section("/**", compile=1), "compile is a bool, got 1"),
        (section("/**", mode="fast"), "mode must be one of sharpdepth, aligned, metric, got "),
        (section("/**", max_depth="[1, 2]"), r"max_depth is a double, got \[1, 2\]"),
    ],
)
def test_the_node_and_a_bag_refuse_a_value_in_the_same_words(
    text, message, argument_list, with_node, tmp_path
):
    arguments = argument_list(text)
    with pytest.raises(ValueError, match=message):
        with_node(arguments, "/", lambda node: ParameterServer(node, lambda: False, lambda: None))
    with pytest.raises(ValueError, match=message):
        read_parameters([tmp_path / "0.yaml"], [])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("/**:\n  ros__parameters:\n    model:\n    seed: 1\n", "line 3: there is no value"),
        ("foo: 1\n", "foo has no ros__parameters"),
        ("/**:\n  ros__parameters:\n", r"ros__parameters of /\*\* is empty"),
        ("foo/:\n  ros__parameters:\n    a: 1\n", "'foo/' is no name of a node"),
        ("sharp*:\n  ros__parameters:\n    a: 1\n", r"'sharp\*' is no name of a node"),
        ("/**:\n  ros__parameters: {a: &x 1, b: *x}\n", r"ROS takes no aliases \(\*x\)"),
        ("/**: [1\n", "is not a parameter file of ROS"),
    ],
)
def test_a_file_that_rcl_refuses_is_refused_with_the_reason(text, message, tmp_path, with_node):
    file = tmp_path / "0.yaml"
    file.write_text(text)
    with pytest.raises(RuntimeError, match="Couldn't parse params file"):
        with_node(["x", "--ros-args", "--params-file", str(file)], "/", lambda node: None)
    with pytest.raises(ValueError, match=rf"0\.yaml is not a parameter file.*{message}|{message}"):
        Overrides().add_file(file)


def test_files_and_names_that_do_nothing_are_named_with_the_nearest_that_would(tmp_path):
    wrong_node, wrong_name = tmp_path / "node.yaml", tmp_path / "name.yaml"
    wrong_node.write_text(section("sharpdpeth", point_stride=2))
    wrong_name.write_text(section("/**", max_dpeth=8.0, use_sim_time="true"))
    arguments = ["--ros-args", "--params-file", str(wrong_node), "--params-file", str(wrong_name)]
    arguments += ["-r", "imge:=/cam/image_raw", "-r", "mode:=metric", "-r", "__ns:=/front"]
    node, name, remap, renamed = ignored(
        arguments, "/front/sharpdepth", lambda name: name == "use_sim_time"
    )
    assert node.startswith(
        f"{wrong_node} sets parameters of sharpdpeth (did you mean sharpdepth?), not of "
        "/front/sharpdepth: write /front/sharpdepth, /**/sharpdepth or /** there"
    )
    assert f"{wrong_name} sets max_dpeth (did you mean max_depth?): /front/sharpdepth" in name
    assert "-r imge:=/cam/image_raw: the node has no topic imge; did you mean image?" in remap
    assert "a parameter is set with -p mode:=metric" in renamed


def test_a_bag_takes_the_parameters_of_each_cameras_node(tmp_path):
    file = tmp_path / "cameras.yaml"
    file.write_text(section("/front/sharpdepth", point_stride=2))
    assert read_parameters([file], [], ["front"]).point_stride == 2
    with pytest.raises(ValueError, match=r"/front/sharpdepth, not of /sharpdepth: write"):
        read_parameters([file], [])
    with pytest.raises(
        ValueError, match="/front/sharpdepth and /left/sharpdepth differ in point_stride"
    ):
        read_parameters([file], [], ["/front", "left"])


def test_a_bag_names_what_the_node_ignores_and_goes_on(tmp_path):
    file = tmp_path / "typo.yaml"
    file.write_text(section("/**", point_strid=2, seed=3))
    said = []
    assert read_parameters([file], [], warn=said.append).seed == 3
    assert "point_strid (did you mean point_stride?)" in said[0]
