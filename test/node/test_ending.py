# SPDX-License-Identifier: Apache-2.0
"""SIGINT and SIGTERM at a node to which nothing else happens, many times over.

Whether an executor misses a signal is a matter of microseconds, so one ending shows nothing: with
rclpy's own handlers about one in fifty of these hung or raised.
"""

import os
import signal
import subprocess
import sys
import time

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (pip install .[ros])")

MANY_ENDINGS = """
import os, signal, threading, rclpy
from rclpy.signals import SignalHandlerOptions
from sharpdepth_ros.node.shutdown import SIGNALS, EndRequest, spin

for i in range(150):
    end = EndRequest(deadline=600)
    context = rclpy.Context()
    rclpy.init(context=context, signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node("quiet", context=context)
    user = threading.Timer(0.005, os.kill, (os.getpid(), SIGNALS[i % 2]))
    user.start()
    spin(node, end)
    assert end and context.ok()
    user.join()
    node.destroy_node()
    context.shutdown()
    print(".", end="", flush=True)
os._exit(0)
"""

STUCK = """
import sys, time
from sharpdepth_ros.node.shutdown import EndRequest

end = EndRequest(deadline=0.2)
end.call(lambda: print("asked", flush=True))
print("up", flush=True)
time.sleep(600)
"""

STUCK_IN_C = """
import ctypes, time
from sharpdepth_ros.node.shutdown import EndRequest

end = EndRequest(deadline=0.2)
end.call(lambda: print("asked", flush=True))
print("up", flush=True)
while not end:
    time.sleep(0.001)
time.sleep(0.05)
ctypes.PyDLL(None).sleep(600)  # keeps Python's lock, as rclpy does while it destroys a node
"""

DEAF = """
import os, signal, threading
from sharpdepth_ros.node.shutdown import EndRequest

told = threading.Event()
def hook(event):
    print(event.thread.name, event.exc_value, flush=True)
    told.set()
threading.excepthook = hook
EndRequest(deadline=600)
os.close(signal.set_wakeup_fd(-1))
assert told.wait(60)
os._exit(0)
"""


def test_no_signal_is_missed_by_a_quiet_node(domain):
    environment = os.environ | {"ROS_DOMAIN_ID": str(domain)}
    child = subprocess.Popen(
        [sys.executable, "-c", MANY_ENDINGS], env=environment, stdout=subprocess.PIPE
    )
    try:
        output, _ = child.communicate(timeout=120)
    except subprocess.TimeoutExpired:
        child.kill()
        output, _ = child.communicate()
        pytest.fail(f"hung after {len(output)} endings")
    assert (child.returncode, len(output)) == (0, 150)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("program", [STUCK, STUCK_IN_C], ids=["in Python", "in C"])
def test_a_process_that_is_stuck_is_over_at_the_deadline(program, number):
    child = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "up\n"
    begun = time.monotonic()
    child.send_signal(number)
    assert child.communicate(timeout=60)[0] == "asked\n"
    assert child.returncode == 0
    assert time.monotonic() - begun >= 0.2


def test_that_signals_are_heard_no_more_is_an_exception_of_its_thread():
    child = subprocess.run(
        [sys.executable, "-c", DEAF], capture_output=True, text=True, timeout=90, check=False
    )
    assert child.stdout == "sharpdepth-signals the pipe by which signals are heard was closed\n"
