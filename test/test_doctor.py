# SPDX-License-Identifier: Apache-2.0
"""`sharpdepth doctor` on this machine, and on machines with something wrong."""

import json
import os
import subprocess
import sys
import time
from collections import namedtuple
from pathlib import Path

import pytest

from sharpdepth_ros.doctor import dds, machine, ros, software
from sharpdepth_ros.doctor.findings import ERROR, OK, WARNING, Finding
from sharpdepth_ros.doctor.probe import ProbeFailed, ask, ask_python
from sharpdepth_ros.doctor.report import SECTIONS, run_doctor
from sharpdepth_ros.doctor.weights import check_weights

TORCH = {
    "version": "2.13.0",
    "cuda": "13.0",
    "hip": None,
    "usable": True,
    "threads": 1,
    "gpus": [
        {
            "name": "Orin",
            "memory": 32 * 2**30,
            "capability": "8.7",
            "fault": None,
            "free": 20 * 2**30,
        }
    ],
    "said": [],
}
REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    """No setting of this shell decides a test."""
    for name in list(os.environ):
        if name.startswith(("ROS_", "RMW_", "FASTDDS_", "FASTRTPS_", "AMENT_", "OMP_")):
            monkeypatch.delenv(name)


def only(findings, what=None) -> Finding:
    [finding] = [f for f in findings if what is None or f.what == what]
    return finding


def answer_with(monkeypatch, module, answer):
    """Have a module's probes answer this, or fail with it."""

    def ask_python(code, timeout=0):
        if isinstance(answer, str):
            raise ProbeFailed(answer)
        return answer

    monkeypatch.setattr(module, "ask_python", ask_python)


class TestReport:
    def test_this_machine_is_examined_in_seconds(self, capsys):
        begun = time.monotonic()
        status = run_doctor(as_json=True)
        assert time.monotonic() - begun < 60  # a few seconds, on a machine that is not busy
        report = json.loads(capsys.readouterr().out)
        assert list(report["sections"]) == list(SECTIONS)
        found = {f["what"]: f for section in report["sections"].values() for f in section}
        assert found["python"]["value"].startswith(".".join(map(str, sys.version_info[:3])))
        import torch

        assert found["torch build"]["value"].startswith(torch.__version__)
        assert {"memory", "disk", "CPU threads", "ROS_DOMAIN_ID", "/dev/shm"} <= set(found)
        assert all(f["advice"] for f in found.values() if f["status"] != OK)
        assert status == (1 if any(f["status"] == ERROR for f in found.values()) else 0)

    def test_a_warning_is_no_failure_and_an_error_is(self, capsys):
        fine, warned = Finding("a", "1"), Finding("b", "2", WARNING, "look after b")
        wrong = Finding("long name", "3", ERROR, "mend it")
        assert run_doctor(sections={"One": [lambda: [fine, warned]]}) == 0
        assert run_doctor(sections={"One": [lambda: [fine]], "Two": [lambda: [wrong]]}) == 1
        out = capsys.readouterr().out
        assert "  warning  b 2\n           -> look after b\n" in out
        assert "\nTwo\n  error    long name 3\n           -> mend it\n" in out
        assert out.endswith("1 ok, 0 warnings, 1 errors\n")

    def test_a_check_that_fails_is_a_line_and_hides_nothing(self, capsys):
        def check_broken_thing():
            yield Finding("before", "1")
            raise PermissionError("not for you")

        assert run_doctor(sections={"One": [check_broken_thing, lambda: [Finding("c", "2")]]}) == 0
        out = capsys.readouterr().out
        assert "warning  broken thing PermissionError: not for you" in out
        assert "before" in out and "ok       c " in out

    def test_neither_torch_nor_ros_is_imported_into_the_doctor(self):
        code = (
            "import sys; from sharpdepth_ros.doctor.report import run_doctor; run_doctor(True); "
            "sys.exit(bool({'torch', 'rclpy', 'cv2', 'sensor_msgs'} & set(sys.modules)) * 7)"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, cwd=REPOSITORY)
        assert done.returncode in (0, 1), done.stderr


class TestProbes:
    def test_a_question_that_crashes_is_told_by_its_signal(self):
        with pytest.raises(ProbeFailed, match="signal 6"):
            ask_python("import os; os.abort()")

    def test_a_question_that_raises_is_told_by_its_last_line(self):
        with pytest.raises(ProbeFailed, match="ModuleNotFoundError: No module named 'not_there'"):
            ask_python("import not_there")

    def test_a_question_that_hangs_is_given_up(self):
        with pytest.raises(ProbeFailed, match="no answer within 0 s"):
            ask_python("import time; time.sleep(60)", timeout=0.3)

    def test_a_command_that_is_not_there_is_named(self):
        with pytest.raises(ProbeFailed, match="no-such-command: No such file"):
            ask(["no-such-command"])


class TestSoftware:
    def test_a_requirement_that_is_missing_or_old_says_how_to_install_it(self, monkeypatch):
        monkeypatch.setattr(software, "LISTED", ("torch", "not_there"))
        monkeypatch.setattr(
            software, "_requirements", lambda: {"torch": ">=99", "not_there": ">=1.5"}
        )
        findings = list(software.check_package())
        assert only(findings, "torch").status == WARNING
        assert "pip install 'torch>=99'" in only(findings, "torch").advice
        assert only(findings, "not_there").status == ERROR
        assert only(findings, "not_there").advice == "pip install 'not_there>=1.5'"

    def test_an_opencv_for_another_numpy_is_an_error(self, monkeypatch):
        answer_with(monkeypatch, software, "ImportError: numpy.core.multiarray failed to import")
        finding = only(software.check_opencv())
        assert finding.status == ERROR
        assert "multiarray" in finding.value and "pip install" in finding.advice


class TestGpu:
    def check(self, monkeypatch, driver="580.1", **torch):
        answer_with(monkeypatch, machine, TORCH | torch)
        monkeypatch.setattr(machine, "_nvidia_driver", lambda: driver)
        return list(machine.check_torch())

    def test_a_gpu_is_described(self, monkeypatch):
        finding = only(self.check(monkeypatch), "GPU 0")
        assert finding.status == OK
        expected = "Orin, 32.0 GiB, 20.0 free, compute capability 8.7, driver 580.1"
        assert finding.value == expected

    def test_a_cpu_build_beside_a_gpu_is_an_error(self, monkeypatch):
        findings = self.check(monkeypatch, cuda=None, usable=False, gpus=[])
        assert only(findings, "torch build").value == "2.13.0 (CPU only)"
        assert only(findings, "GPU").status == ERROR
        assert "this torch is built for the CPU" in only(findings, "GPU").advice

    def test_a_gpu_that_torch_cannot_use_is_an_error_with_what_torch_said(self, monkeypatch):
        findings = self.check(monkeypatch, usable=False, gpus=[], said=["driver is too old"])
        assert only(findings, "GPU").status == ERROR
        assert "driver is too old" in only(findings, "GPU").value

    def test_a_gpu_without_kernels_in_this_build_is_an_error(self, monkeypatch):
        fault = "CUDA error: no kernel image is available"
        findings = self.check(monkeypatch, gpus=[TORCH["gpus"][0] | {"fault": fault, "free": None}])
        assert only(findings, "GPU 0").status == ERROR
        assert fault in only(findings, "GPU 0").value

    def test_a_full_gpu_is_a_warning(self, monkeypatch):
        findings = self.check(monkeypatch, gpus=[TORCH["gpus"][0] | {"free": 2**30}])
        assert only(findings, "GPU 0").status == WARNING

    def test_no_gpu_is_a_warning(self, monkeypatch):
        findings = self.check(monkeypatch, driver=None, cuda=None, usable=False, gpus=[])
        assert only(findings, "GPU").status == WARNING

    def test_a_torch_that_cannot_be_imported_is_an_error(self, monkeypatch):
        answer_with(monkeypatch, machine, "ImportError: libcudart.so.13")
        assert only(machine.check_torch()).status == ERROR

    def test_the_driver_is_read_from_nvidia_smi(self, monkeypatch, tmp_path):
        tool = tmp_path / "nvidia-smi"
        tool.write_text("#!/bin/sh\necho 580.95.05\n")
        tool.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        assert machine._nvidia_driver() == "580.95.05"

    def test_more_threads_than_cores_is_a_warning(self, monkeypatch):
        monkeypatch.setenv("OMP_NUM_THREADS", "512")
        findings = self.check(monkeypatch, threads=512)
        assert only(findings, "CPU threads").status == WARNING
        assert "OMP_NUM_THREADS=512" in only(findings, "CPU threads").value


class TestMemoryAndDisk:
    def test_a_containers_limit_counts(self, monkeypatch):
        monkeypatch.setattr(machine, "_container_limit", lambda: 2 * 2**30)
        finding = only(machine.check_memory())
        assert finding.status == WARNING
        assert finding.value == "2.0 of 2.0 GiB available"

    def test_a_small_disk_is_a_warning(self, monkeypatch):
        usage = namedtuple("usage", "total used free")(2**32, 2**31, 2**31)
        monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
        finding = only(machine.check_disk())
        assert finding.status == WARNING
        assert finding.value.startswith("2.0 GiB free")


class TestRos:
    @pytest.fixture
    def rclpy(self, monkeypatch, tmp_path):
        """Puts an rclpy of an installation in place of this machine's."""
        origin = tmp_path / "rclpy" / "__init__.py"
        origin.parent.mkdir()
        monkeypatch.setattr(ros, "_origin", lambda name: origin)
        return origin

    def test_no_ros_is_a_warning(self, monkeypatch, tmp_path):
        monkeypatch.setattr(ros, "_origin", lambda name: None)
        monkeypatch.setattr(ros, "INSTALLATIONS", tmp_path)
        finding = only(ros.check_ros())
        assert (finding.value, finding.status) == ("not here", WARNING)
        assert list(ros.check_ros_packages()) == []

    def test_a_ros_that_is_not_sourced_is_named(self, monkeypatch, tmp_path):
        monkeypatch.setattr(ros, "_origin", lambda name: None)
        monkeypatch.setattr(ros, "INSTALLATIONS", tmp_path)
        (tmp_path / "kilted").mkdir()
        (tmp_path / "kilted" / "setup.bash").touch()
        assert only(ros.check_ros()).advice == f"run: source {tmp_path}/kilted/setup.bash"

    def test_a_ros_that_this_python_does_not_see_is_an_error(self, monkeypatch):
        monkeypatch.setattr(ros, "_origin", lambda name: None)
        monkeypatch.setenv("ROS_DISTRO", "jazzy")
        finding = only(ros.check_ros())
        assert finding.status == ERROR
        assert "--system-site-packages" in finding.advice

    def test_an_installation_and_its_middleware_are_told(self, monkeypatch, rclpy):
        monkeypatch.setenv("ROS_DISTRO", "jazzy")
        answer_with(monkeypatch, ros, {"rmw": "rmw_cyclonedds_cpp"})
        findings = list(ros.check_ros())
        assert only(findings, "ROS 2").value == "jazzy, an installation"
        assert only(findings, "rclpy").value == str(rclpy.parent)
        assert only(findings, "RMW").value == "rmw_cyclonedds_cpp (the default)"

    def test_an_rclpy_of_another_python_is_an_error(self, monkeypatch, rclpy):
        (rclpy.parent / "_rclpy_pybind11.cpython-38-x86_64-linux-gnu.so").touch()
        answer_with(monkeypatch, ros, "ImportError: cannot import name '_rclpy'")
        finding = only(ros.check_ros(), "rclpy")
        assert finding.status == ERROR
        assert "built for cpython-38" in finding.advice

    @pytest.mark.parametrize(
        ("version", "distribution"), [("9.1.2", "kilted"), ("7.1.6", "jazzy"), ("3.3.15", "humble")]
    )
    def test_wheels_are_of_a_distribution(self, version, distribution, monkeypatch, rclpy):
        monkeypatch.setattr(ros, "_wheels", lambda origin: version)
        answer_with(monkeypatch, ros, {"rmw": "rmw_fastrtps_cpp"})
        for sourced in ("kilted", "jazzy", "humble", ""):
            monkeypatch.setenv("ROS_DISTRO", sourced)
            finding = only(ros.check_ros(), "ROS 2")
            told = f"wheels of {distribution} (rclpy {version})"
            assert finding.value == (f"{sourced}, and {told}" if sourced else told)
            foreign = sourced not in ("", distribution)
            assert finding.status == (WARNING if foreign else OK)
            if foreign:
                assert f"of {distribution}: uninstall them" in finding.advice

    def test_a_cv_bridge_for_another_numpy_is_a_warning(self, monkeypatch, rclpy):
        answer_with(monkeypatch, ros, "ended by signal 11")
        finding = only(ros.check_ros_packages(), "cv_bridge")
        assert finding.status == WARNING
        assert "ended by signal 11" in finding.value and "numpy<2" in finding.advice

    @pytest.mark.parametrize(
        ("domain", "status"), [("", OK), ("42", OK), ("150", WARNING), ("233", ERROR), ("a", ERROR)]
    )
    def test_a_domain_is_checked(self, monkeypatch, domain, status):
        monkeypatch.setenv("ROS_DOMAIN_ID", domain)
        assert only(ros.check_domain(), "ROS_DOMAIN_ID").status == status


class TestLargeMessages:
    FASTDDS, FASTRTPS = dds.VARIABLES

    @pytest.fixture(autouse=True)
    def ros_is_here(self, monkeypatch, tmp_path):
        monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
        monkeypatch.delenv("ROS_DISTRO", raising=False)
        monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path))
        (tmp_path / "lib").mkdir()
        (tmp_path / "lib/libfastdds.so.3.2").touch()

    def profile(self, monkeypatch, path, variable=FASTDDS):
        monkeypatch.setenv(variable, str(path))
        return only(dds.check_profile())

    def test_the_shipped_profile_is_recognised(self, monkeypatch):
        assert dds.shipped_profile() == REPOSITORY / "config" / dds.PROFILE
        finding = self.profile(monkeypatch, dds.shipped_profile())
        assert finding.status == OK and "this package's" in finding.value

    def test_without_one_the_command_to_set_it_is_told(self):
        finding = only(dds.check_profile())
        assert finding.status == WARNING
        assert finding.advice.endswith(f"export {self.FASTDDS}={dds.shipped_profile()}")

    def test_fast_dds_2_reads_another_variable(self, monkeypatch, tmp_path):
        (tmp_path / "lib/libfastdds.so.3.2").rename(tmp_path / "lib/libfastrtps.so.2.14")
        assert f"export {self.FASTRTPS}=" in only(dds.check_profile()).advice
        finding = self.profile(monkeypatch, dds.shipped_profile())
        assert finding.status == WARNING and f"export {self.FASTRTPS}=" in finding.advice
        monkeypatch.delenv(self.FASTDDS)
        assert self.profile(monkeypatch, dds.shipped_profile(), self.FASTRTPS).status == OK

    def test_another_middleware_needs_none(self, monkeypatch):
        monkeypatch.setenv("RMW_IMPLEMENTATION", "rmw_cyclonedds_cpp")
        assert only(dds.check_profile()).status == OK

    def test_a_profile_that_cannot_be_read_is_an_error(self, monkeypatch, tmp_path):
        assert self.profile(monkeypatch, tmp_path / "none.xml").status == ERROR
        (tmp_path / "bad.xml").write_text("<dds><profiles>")
        assert self.profile(monkeypatch, tmp_path / "bad.xml").status == ERROR

    def test_a_profile_of_ones_own_is_judged_by_its_room(self, monkeypatch, tmp_path):
        text = dds.shipped_profile().read_text()
        (tmp_path / "large.xml").write_text(text.replace("udp", "other"))
        assert self.profile(monkeypatch, tmp_path / "large.xml").status == OK
        (tmp_path / "small.xml").write_text(text.replace("67108864", "524288"))
        finding = self.profile(monkeypatch, tmp_path / "small.xml")
        assert finding.status == WARNING and "524288 bytes" in finding.advice

    def test_a_small_shared_memory_is_a_warning(self, monkeypatch):
        usage = namedtuple("usage", "total used free")(2**26, 0, 2**26)
        monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
        finding = only(dds.check_shared_memory())
        assert (finding.value, finding.status) == ("64 of 64 MiB free", WARNING)
        assert finding.advice

    def test_a_small_receive_buffer_says_how_to_enlarge_it(self, monkeypatch, tmp_path):
        (tmp_path / "rmem_max").write_text("212992\n")
        monkeypatch.setattr(dds, "RMEM_MAX", tmp_path / "rmem_max")
        finding = only(dds.check_receive_buffer())
        assert (finding.value, finding.status) == ("0.2 MiB", WARNING)
        assert "sysctl -w net.core.rmem_max" in finding.advice


def test_weights_that_are_here_missing_or_damaged_are_told(monkeypatch, tmp_path):
    monkeypatch.setenv("SHARPDEPTH_HOME", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    findings = list(check_weights())
    assert "sharpdepth weights fetch sharpdepth" in only(findings, "sharpener models").advice
    (tmp_path / "sharpdepth" / "unet").mkdir(parents=True)
    finding = only(check_weights(), "sharpdepth")
    assert finding.status == ERROR
    assert "no vae/" in finding.value
    assert finding.advice == "sharpdepth weights fetch sharpdepth --force"
