# SPDX-License-Identifier: Apache-2.0
"""The lifecycle node `sharpdepth`: five transitions around the frame worker."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from diagnostic_msgs.msg import DiagnosticStatus
from lifecycle_msgs.msg import Transition as LifecycleTransition
from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.msg import SetParametersResult
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.task import Future
from std_srvs.srv import Trigger

from sharpdepth_ros.node.diagnostics import NO_IMAGE, DiagnosticsBeat, make_status
from sharpdepth_ros.node.frame_handler import FrameWork, build_pipeline
from sharpdepth_ros.node.lifecycle_bond import LifecycleBond
from sharpdepth_ros.node.parameter_server import ParameterServer
from sharpdepth_ros.node.publishers import Outputs
from sharpdepth_ros.node.ros_compat import serve_change_state
from sharpdepth_ros.node.snapshot import (
    NoFrame,
    default_folder,
    wait_for_frame,
    write_snapshot,
)
from sharpdepth_ros.node.statistics import FrameStatistics, Report
from sharpdepth_ros.node.subscriptions import Inputs, declare_qos_overrides
from sharpdepth_ros.node.throttled_log import ProblemReporter
from sharpdepth_ros.node.worker import LOADING, CannotContinue, FrameWorker
from sharpdepth_ros.processing.parameters import Parameters
from sharpdepth_ros.weights.catalogue import DEMO_NOTICE

if TYPE_CHECKING:
    from sharpdepth_ros.pipeline.sharpdepth import SharpDepthPipeline

SUCCESS = TransitionCallbackReturn.SUCCESS
FAILURE = TransitionCallbackReturn.FAILURE
ERROR = TransitionCallbackReturn.ERROR

#: Seconds that unloading may take before a transition fails.
_UNLOAD_TIMEOUT = 30.0
#: Seconds that ~/save_snapshot waits for an image.
_IMAGE_TIMEOUT = 5.0


Transition = Callable[["SharpDepthNode", LifecycleState], TransitionCallbackReturn]


def _logged(transition: Transition) -> Transition:
    """Says what a transition raised: rclpy turns it into ERROR without a word."""

    @functools.wraps(transition)
    def run(node: SharpDepthNode, state: LifecycleState) -> TransitionCallbackReturn:
        try:
            return transition(node, state)
        except Exception as error:
            if node.context.ok():
                node.fail(f"{transition.__name__} failed: {type(error).__name__}: {error}")
            return ERROR

    return run


class SharpDepthNode(LifecycleNode):
    """Camera frames in, sharp metric depth and a cloud out.

    configure loads and warms up the models; activate subscribes; deactivate unsubscribes and waits
    for the frame in work; cleanup frees the memory; shutdown does both from any state.
    """

    def __init__(
        self,
        pipeline_factory: Callable[[Parameters], SharpDepthPipeline] = build_pipeline,
        **node_arguments: Any,
    ) -> None:
        """Starts the node; all arguments but the first are LifecycleNode's.

        Raises:
            ValueError: a parameter given at start is not valid.
        """
        super().__init__("sharpdepth", **node_arguments)
        self._state = "unconfigured"
        self._interrupted = threading.Event()
        self._pipeline_factory = pipeline_factory
        self._fault: str | None = None
        self._dead_thread: str | None = None
        self._worker: FrameWorker | None = None
        self._work: FrameWork | None = None
        self._loaded_with: Parameters | None = None
        self._inputs: Inputs | None = None
        self._outputs: Outputs | None = None
        self._bond: LifecycleBond | None = None
        self._snapshot: Future | None = None  # the one under way
        self._silence = ""
        self._twin_named = False
        self._statistics = FrameStatistics()
        self._problems = ProblemReporter(self, self._statistics)
        self._server = ParameterServer(
            self, lambda: self._state == "active", self._parameters_changed
        )
        declare_qos_overrides(self, self._server.values)
        self._lost_signal = self.create_guard_condition(self._end_in_error)
        self.create_service(
            Trigger,
            "~/save_snapshot",
            self._save_snapshot,
            # Its own: a group is held until the answer, and a snapshot waits for a frame.
            callback_group=ReentrantCallbackGroup(),
        )
        self._beat = DiagnosticsBeat(self, self._status, self._on_fault)
        self._autostarted = False
        serve_change_state(self, self._change_state)
        if self._server.values.autostart:
            # Not on the ROS clock: in simulation that may not run yet.
            steady = Clock(clock_type=ClockType.STEADY_TIME)
            self._autostart = self.create_timer(0.0, self._start, clock=steady)
        else:
            # navigation.launch.py starts the lifecycle manager when it reads this.
            self.get_logger().info("state: unconfigured")

    # Transitions, in the order of a life.

    @_logged
    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._fault = None
        declare_qos_overrides(self, self._server.values)
        self._outputs = Outputs(self, lambda: self._server.values)
        if not self._load():
            self._remove_outputs()
            self._say_how_to_configure()
            return FAILURE
        self._bond = LifecycleBond(self)
        return self._entered("inactive", super().on_configure(state))

    @_logged
    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        # Parameters may have changed since, and a reload that failed has left nothing loaded.
        loaded = self._loaded_with
        current = loaded is not None and not self._server.values.reload_needed(loaded)
        if not current and not (self._unload() and self._load()):
            return FAILURE
        self._statistics.reset()
        self._inputs = Inputs(
            self,
            self._server.values,
            self._statistics.received,
            self._worker.offer,
            self._unpaired,
            self._bad_stamp,
        )
        self._worker.resume()
        self.get_logger().info(
            f"active: images from {self._inputs.image_topic}, "
            f"camera_info from {self._inputs.info_topic}"
        )
        result = self._entered("active", super().on_activate(state))
        if result == SUCCESS:
            self._bond.begin()
        return result

    @_logged
    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._unsubscribe()
        if self._fault is not None or self._dead_thread is not None:
            return ERROR
        self._worker.pause()
        return self._entered("inactive", super().on_deactivate(state))

    @_logged
    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        if not self._unload():
            return FAILURE
        result = super().on_cleanup(state)
        self._remove_outputs()
        return self._entered("unconfigured", result)

    @_logged
    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._unsubscribe()
        self._unload()
        result = super().on_shutdown(state)
        self._remove_outputs()
        return self._entered("finalized", result)

    @_logged
    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Gives everything back; the node can be configured again."""
        self._unsubscribe()
        self._unload()
        self._remove_outputs()
        self._say_how_to_configure()
        return self._entered("unconfigured", SUCCESS)

    def fail(self, fault: str) -> None:
        """Reports why the node cannot work until someone acts."""
        self._fault = fault
        self.get_logger().error(fault)

    def interrupt(self) -> None:
        """Ends what a transition waits for, soon, because the process is to end; any thread."""
        self._interrupted.set()
        worker = self._worker
        if worker is not None:
            worker.abandon()

    def close(self, timeout: float) -> bool:
        """Ends all threads, outside of any transition. Whether they ended in time (seconds)."""
        self.interrupt()
        self._beat.stop()
        return self._worker is None or self._worker.stop(timeout)

    def set_parameters_atomically(self, parameter_list: list[Parameter]) -> SetParametersResult:
        return self._server.set_atomically(parameter_list, super().set_parameters_atomically)

    def destroy_node(self) -> None:
        super().destroy_node()
        # rclpy leaves this to the garbage collector. It holds the DDS participant, and that its
        # files in shared memory, and collecting takes longer than all the rest of the ending.
        self._state_machine = None

    def _start(self) -> None:
        self._autostart.cancel()
        if self._state != "unconfigured":
            return  # a lifecycle manager was quicker
        self._autostarted = True
        if self.trigger_configure() == SUCCESS:
            self.trigger_activate()

    def _change_state(
        self,
        proceed: Callable[[ChangeState.Request, ChangeState.Response], ChangeState.Response],
        request: ChangeState.Request,
        response: ChangeState.Response,
    ) -> ChangeState.Response:
        """Serves a transition that somebody else asks for.

        A lifecycle manager begins with configure and activate, and nav2_lifecycle_manager gives up
        all of its nodes if one is not inactive after the first. So a node that autostart has
        brought up becomes inactive, with its models, when the first request is configure.
        """
        autostarted, self._autostarted = self._autostarted, False
        wanted = request.transition
        configure = wanted.label == "configure" or (
            not wanted.label and wanted.id == LifecycleTransition.TRANSITION_CONFIGURE
        )
        if not (autostarted and configure and self._state in ("inactive", "active")):
            return proceed(request, response)
        if self._state == "active":
            self.trigger_deactivate()
        response.success = self._state == "inactive"
        self.get_logger().info(
            f"configure requested after autostart: the node is {self._state} now, and a lifecycle "
            "manager's from here on (autostart:=false leaves it the first start too)"
        )
        return response

    def _entered(self, state: str, result: TransitionCallbackReturn) -> TransitionCallbackReturn:
        if result == SUCCESS:
            self._state = state
            self.get_logger().info(f"state: {state}")
        return result

    def _say_how_to_configure(self) -> None:
        if not self._interrupted.is_set():
            name = self.get_fully_qualified_name()
            self.get_logger().info(
                f"to try again: ros2 lifecycle set {name} configure, then activate"
            )

    # What the transitions are made of.

    def _load(self) -> bool:
        """Starts the worker and waits until the models are loaded."""
        parameters = self._server.values
        self.get_logger().info(
            f"loading {parameters.model!r} and metric model {parameters.metric_model!r}"
        )
        if "demo" in (parameters.model, parameters.metric_model):
            self.get_logger().warning(DEMO_NOTICE)
        self._work = FrameWork(
            lambda: self._server.values,
            self._outputs,
            self._statistics,
            self._problems,
            self._on_lost,
            self._pipeline_factory,
        )
        self._worker = FrameWorker(self._work, self._interval)
        try:
            while not self._worker.wait_until_loaded(0.1):
                if self._interrupted.is_set():
                    return False
        except Exception as error:
            self.fail(f"cannot load the models: {error}")
            self._unload()
            return False
        self._loaded_with = parameters
        self._fault = None
        return True

    def _unload(self) -> bool:
        """Stops the worker, which frees the models."""
        if self._worker is not None:
            deadline = time.monotonic() + _UNLOAD_TIMEOUT
            while not self._worker.stop(0.1):
                if self._interrupted.is_set():
                    return False
                if time.monotonic() > deadline:
                    self.get_logger().error(
                        f"the frame in work did not end within {_UNLOAD_TIMEOUT:.0f} s"
                    )
                    return False
            self._worker = self._work = self._loaded_with = None
        return True

    def _unsubscribe(self) -> None:
        if self._bond is not None:
            self._bond.end()
        if self._inputs is not None:
            self._inputs.destroy()
            self._inputs = None

    def _remove_outputs(self) -> None:
        if self._bond is not None:
            self._bond.destroy()
            self._bond = None
        if self._outputs is not None:
            self._outputs.destroy()
            self._outputs = None

    def _interval(self) -> float:
        """Smallest time between two frames in seconds."""
        rate = self._server.values.max_rate
        return 1 / rate if rate > 0 else 0.0

    def _parameters_changed(self) -> None:
        """Called once the values are those of `self._server.values`."""
        if self._worker is not None:
            self._worker.interval_changed()

    def _unpaired(self) -> None:
        self._statistics.dropped("no_camera_info")
        self._problems.warning("no_camera_info", self._inputs.why_unpaired())

    def _bad_stamp(self, text: str, is_image: bool) -> None:
        if is_image:
            self._statistics.dropped("bad_stamp")
        self._problems.warning("bad_stamp", text)

    async def _save_snapshot(
        self, _: Trigger.Request, answer: Trigger.Response
    ) -> Trigger.Response:
        """Serves ~/save_snapshot; who asks while a snapshot is being made gets that one.

        The thread waits for the frame and writes it, so that neither holds up other callbacks.
        """
        snapshot = self._snapshot
        if snapshot is None:
            snapshot = self._snapshot = Future(executor=self.executor)
            take = functools.partial(self._take_snapshot, snapshot)
            threading.Thread(target=take, name="sharpdepth-snapshot", daemon=True).start()
        answer.success, answer.message = await snapshot
        return answer

    def _take_snapshot(self, snapshot: Future) -> None:
        try:
            outcome = True, str(self._write_snapshot())
        except NoFrame as error:
            outcome = False, str(error)
        except OSError as error:
            outcome = False, f"the snapshot cannot be written: {error}"
        except Exception as error:
            outcome = False, f"the snapshot failed: {type(error).__name__}: {error}"
        self._snapshot = None
        snapshot.set_result(outcome)
        self.executor.wake()

    def _write_snapshot(self) -> Path:
        """Writes the next frame, or if none comes the last one that was published."""
        work, inputs = self._work, self._inputs
        result, why = None, f"the node is {self._state}, and a snapshot needs an active one"
        if work is not None and inputs is not None:
            patience = _IMAGE_TIMEOUT + self._interval()
            result = wait_for_frame(work.request_frame(), patience)
            why = (
                f"no image with a camera_info came within {patience:.0f} s on "
                f"{inputs.image_topic} and {inputs.info_topic}"
            )
        if result is None and work is not None and work.last_result is not None:
            result = work.last_result
            age = time.monotonic() - result.frame.received
            self.get_logger().warning(f"the snapshot is of a frame {age:.1f} s ago: {why}")
        if result is None:
            raise NoFrame(why)
        chosen = self._server.values.snapshot_folder
        return write_snapshot(result, Path(chosen).expanduser() if chosen else default_folder())

    # The end of the worker, and the once-a-second status.

    def _on_lost(self, error: CannotContinue) -> None:
        """Called on the device thread."""
        self._on_fault(f"cannot continue: {error}")

    def _on_fault(self, fault: str) -> None:
        """Called on any thread: the executor's has to make the transition."""
        if fault != self._fault:  # told each second while it lasts
            self.fail(fault)
        self._lost_signal.trigger()

    def thread_ended(self, event: threading.ExceptHookArgs) -> None:
        """threading.excepthook of the node's process: a thread has died of an exception.

        Nothing starts it again, so that the fault stays until the process ends.
        """
        if self.context.ok():
            self._dead_thread = (
                f"the thread {event.thread and event.thread.name} ended: "
                f"{event.exc_type.__name__}: {event.exc_value}; start the node again"
            )
            self.get_logger().error(self._dead_thread)
            self._lost_signal.trigger()

    def _end_in_error(self) -> None:
        self._loaded_with = None  # the worker may have ended: the next activation loads anew
        if self._state == "active":
            self.trigger_deactivate()

    def _status(self) -> DiagnosticStatus:
        work, worker = self._work, self._worker
        inputs, report = self._inputs, self._statistics.report()
        self._name_silence(inputs, report)
        self._name_twin()
        return make_status(
            self.get_fully_qualified_name(),
            self._state,
            self._dead_thread or self._fault,
            report,
            torch.device("cpu") if work is None else work.device,
            (LOADING, 0.0) if worker is None else worker.doing,
            self._interval(),
        )

    def _name_silence(self, inputs: Inputs | None, report: Report) -> None:
        """Says once for what reason no image arrives, and once that they are back."""
        silent = inputs is not None and report.silent_for > NO_IMAGE
        reason = inputs.why_silent() if silent else ""
        if reason and reason != self._silence:
            self.get_logger().warning(reason)
        elif self._silence and not reason and inputs is not None:
            self.get_logger().info(f"images arrive on {inputs.image_topic}")
        self._silence = reason

    def _name_twin(self) -> None:
        """Says once that another node has this one's name: services and parameters reach either."""
        name = self.get_fully_qualified_name()
        nodes = [f"{n.rstrip('/')}/{m}" for m, n in self.get_node_names_and_namespaces()]
        if nodes.count(name) > 1 and not self._twin_named:
            self._twin_named = True
            self.get_logger().warning(
                f"another node is named {name}: give one of the two another name or namespace "
                "(-r __node:=NAME, -r __ns:=/NAMESPACE; one that was killed stays in the graph for "
                "some seconds)"
            )
