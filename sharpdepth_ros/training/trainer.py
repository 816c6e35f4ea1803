# SPDX-License-Identifier: Apache-2.0
"""The training loop of every stage, on one device or under `accelerate launch`."""

import dataclasses
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import (
    ProjectConfiguration,
    is_tensorboard_available,
    parse_flag_from_env,
)
from torch.utils.data import DataLoader
from tqdm import tqdm

from sharpdepth_ros.models.device import has_amx
from sharpdepth_ros.models.diffusion import write_about
from sharpdepth_ros.models.safe_loading import (
    CheckpointError,
    explained,
    first_line,
    read_json,
    read_pickle,
    require_data_only,
)
from sharpdepth_ros.training.config import TrainingConfig
from sharpdepth_ros.training.data import Batch, collate, open_data
from sharpdepth_ros.training.diffusers_folder import require_weights
from sharpdepth_ros.training.resume import PROGRESS, described, require_same_run, state_faults
from sharpdepth_ros.training.run_checkpoints import (
    STATE,
    checkpoints_of,
    remove_drafts,
    step_of,
    write_checkpoint,
)
from sharpdepth_ros.training.sampler import BatchOrder
from sharpdepth_ros.training.schedule import learning_rate, progress
from sharpdepth_ros.training.stages.base import Stage
from sharpdepth_ros.weights.home import write_durably

STAGE_STATE = "stage.pt"
"""File in it with the stage's state beside its network's weights, where it has some."""


class LossNotFinite(RuntimeError):
    """The loss became NaN or infinite; the message says where the batch is."""


class Trainer:
    """Trains one stage.

    Data order, augmentation and noise are functions of seed and step; weights, optimiser and the
    stage's state come from the checkpoint. So a resumed run is the run that was not stopped.
    """

    def __init__(self, stage: Stage, config: TrainingConfig) -> None:
        """Prepare networks and data; resume where the configuration says so.

        Raises:
            ValueError: the output holds another run's checkpoints, the size does not fit the VAE,
                or the data lack labels that the stage needs.
        """
        self.config = config
        self.output = Path(config.run.output)
        self._check(stage)
        self.accelerator = Accelerator(
            cpu=config.run.cpu,
            mixed_precision=_mixed_precision(config.optimizer.precision, config.run.cpu),
            gradient_accumulation_steps=config.optimizer.accumulate,
            log_with="tensorboard" if is_tensorboard_available() else None,
            project_config=ProjectConfiguration(project_dir=str(self.output)),
        )
        self.stage = stage
        self.data = open_data(config.data, config.run.seed)
        if config.optimizer.gradient_checkpointing:
            _checkpoint_activations(stage.network)
        parameters = [p for p in stage.network.parameters() if p.requires_grad]
        self._parameters = parameters
        optimizer = torch.optim.AdamW(
            parameters,
            lr=config.optimizer.learning_rate,
            weight_decay=config.optimizer.weight_decay,
        )
        self.network, self.optimizer = self.accelerator.prepare(stage.network, optimizer)
        stage.attach(self.network, self.accelerator.device)
        self.step, self.seconds = 0, 0.0
        self._unreadable: dict[str, str] = {}
        self._logs = True
        self._last_saved = -1
        contents = {**self.data.contents(), **stage.contents}
        self._described = described(
            type(stage).__name__, config, contents, self.accelerator.num_processes
        )
        self._resume()

    def run(self) -> Path:
        """Train to the end; the folder of the last checkpoint.

        Raises:
            LossNotFinite: the loss is NaN or infinite; the batch was saved.
            CheckpointNotWritten: the disk is full or the like; the last checkpoint is intact.
        """
        config, accelerator = self.config, self.accelerator
        self._announce()
        if accelerator.is_main_process:
            accelerator.init_trackers("tensorboard")
        batches = iter(self._loader())
        started, before = time.monotonic(), self.seconds
        self.network.train()
        bar = tqdm(
            total=config.optimizer.steps,
            initial=self.step,
            unit="step",
            disable=not accelerator.is_local_main_process,
            mininterval=0.5 if sys.stderr.isatty() else 30,
        )
        try:
            while progress(config.optimizer, self.step, self.seconds) < 1:
                logs = self._update(batches)
                self.step += 1
                self.seconds = self._agreed(before + time.monotonic() - started)
                bar.update()
                if self.step % config.run.log_every == 0:
                    self._log(logs, bar)
                if self.step % config.run.checkpoint_every == 0:
                    self._save()
            if self._last_saved != self.step:
                self._save()
        finally:
            bar.close()
            self._report_unreadable()
        accelerator.end_training()
        return checkpoints_of(self.output)[-1]

    def _update(self, batches) -> dict[str, torch.Tensor]:
        """One update of the network: `accumulate` batches."""
        config, accelerator = self.config, self.accelerator
        rate = learning_rate(config.optimizer, self.step, self.seconds, accelerator.num_processes)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        logs: dict[str, torch.Tensor] = {}
        for part in range(config.optimizer.accumulate):
            batch = self._next(batches)
            self._unreadable |= batch.unreadable
            batch = batch.to(accelerator.device)
            torch.manual_seed(self._noise_seed(part))
            with accelerator.accumulate(self.network):
                with accelerator.autocast():
                    loss, parts = self.stage.loss(batch)
                self._require_finite(loss, batch)
                accelerator.backward(loss)
                if accelerator.sync_gradients:
                    accelerator.clip_grad_norm_(self._parameters, config.optimizer.clip)
                self.optimizer.step()
                self.optimizer.zero_grad()
            for name, value in {"loss": loss, **parts}.items():
                share = value.detach() / config.optimizer.accumulate
                logs[name] = logs.get(name, 0) + share
        self.stage.updated()
        return {**logs, "learning_rate": torch.tensor(rate)}

    def _next(self, batches: Iterator[Batch]) -> Batch:
        try:
            return next(batches)
        except ValueError as error:
            # A loader process' error comes with its traceback, the message in the last line.
            message = str(error).strip().splitlines()[-1].removeprefix("ValueError: ")
            raise ValueError(message) from error

    def _agreed(self, seconds: float) -> float:
        """The time by which every process ends: the longest, where time can end the run."""
        if self.config.optimizer.minutes is None:
            return seconds
        own = torch.tensor([seconds], device=self.accelerator.device)
        return float(self.accelerator.gather(own).max())

    def _noise_seed(self, part: int) -> int:
        """Of the noise of one pass: another one for each process, the same one after a resume."""
        accelerator = self.accelerator
        index = self.step * self.config.optimizer.accumulate + part
        sequence = np.random.SeedSequence([self.config.run.seed, index, accelerator.process_index])
        return int(sequence.generate_state(1, np.uint64)[0] >> 1)

    def _loader(self) -> DataLoader:
        config, accelerator = self.config, self.accelerator
        order = BatchOrder(
            len(self.data),
            config.optimizer.batch_size,
            config.run.seed,
            start=self.step * config.optimizer.accumulate,
            process=accelerator.process_index,
            processes=accelerator.num_processes,
        )
        return DataLoader(
            self.data,
            batch_sampler=order,
            collate_fn=collate,
            num_workers=config.data.workers,
            pin_memory=accelerator.device.type == "cuda",
            persistent_workers=config.data.workers > 0,
        )

    def _require_finite(self, loss: torch.Tensor, batch: Batch) -> None:
        finite = torch.isfinite(loss.detach()).all()
        everywhere = self.accelerator.gather(finite.reshape(1).int()).all()
        if everywhere:
            return
        where = "on another process"
        if not finite:
            where = self.output / f"nan-batch-{self.step:06d}-{self.accelerator.process_index}.pt"
            try:
                torch.save(
                    {"step": self.step, **dataclasses.asdict(batch.to(torch.device("cpu")))}, where
                )
            except (OSError, RuntimeError) as error:  # torch's own of a full disk
                where = f"not saved ({error})"
        kept = checkpoints_of(self.output)
        raise LossNotFinite(
            f"the loss of step {self.step} is {loss.item()}; the batch is {where}. "
            + (f"The last checkpoint is {kept[-1]}. " if kept else "")
            + "Look at the images, or lower optimizer.learning_rate"
        )

    def _save(self) -> None:
        accelerator = self.accelerator

        def write(folder: Path) -> None:
            accelerator.save_state(str(folder / STATE))
            if accelerator.is_main_process:
                if self.stage.state is not None:
                    torch.save(self.stage.state.state_dict(), folder / STATE / STAGE_STATE)
                self.stage.export(folder)
                if (folder / "unet").is_dir():  # pipelines run it at its own size
                    data = self.config.data
                    write_about(folder, max(data.width, data.height))
                progressed = {
                    "step": self.step,
                    "seconds": round(self.seconds, 1),
                    **self._described,
                }
                (folder / STATE / PROGRESS).write_text(json.dumps(progressed, indent=2))
                require_weights(self.stage.network, folder / STATE)

        write_checkpoint(
            self.output,
            self.step,
            write,
            self.config.run.keep,
            main=accelerator.is_main_process,
            wait=accelerator.wait_for_everyone,
        )
        self._last_saved = self.step
        self._list_unreadable()

    def _resume(self) -> None:
        existing = checkpoints_of(self.output)
        if existing and not self.config.run.resume:
            raise ValueError(
                f"{self.output} holds checkpoints up to step {step_of(existing[-1])}: continue "
                "with run.resume=true, or give another run.output"
            )
        checkpoint = self._resumable(existing) if existing else None
        if self.accelerator.is_main_process:
            self._make_output()
        self.accelerator.wait_for_everyone()
        if checkpoint is None:
            if self.config.run.resume:
                self.accelerator.print(
                    f"sharpdepth: run.resume is true, but {self.output} holds no checkpoint: the "
                    "run begins at step 0"
                )
            self._unreadable_file.unlink(missing_ok=True)
            return
        progressed = read_json(checkpoint / STATE / PROGRESS)
        if changes := require_same_run(progressed, self._described, checkpoint):
            self.accelerator.print(f"sharpdepth: continuing with changes: {changes}")
        self._load_state(checkpoint / STATE)
        self.step, self.seconds = progressed["step"], progressed["seconds"]
        self._last_saved = self.step
        if self.accelerator.is_main_process:
            self._forget_log_after(self.step)

    def _make_output(self) -> None:
        try:
            self.output.mkdir(parents=True, exist_ok=True)
            remove_drafts(self.output)
        except OSError as error:
            raise ValueError(
                f"run.output is {self.output}, where no folder can be made: {error.strerror}"
            ) from error

    def _resumable(self, checkpoints: list[Path]) -> Path:
        """The last checkpoint that a run can continue from; those after it are named."""
        passed = []
        for checkpoint in reversed(checkpoints):
            faults = state_faults(checkpoint)
            if not faults:
                for note in passed:
                    self.accelerator.print(f"sharpdepth: not continuing from {note}")
                return checkpoint
            passed.append(f"{checkpoint}: {'; '.join(faults)}")
        raise ValueError(
            f"no checkpoint in {self.output} can be continued from: {'. '.join(passed)}. Their "
            f"weights can start a new run in another run.output: stage.init={checkpoints[-1]}, "
            "where the stage has that option"
        )

    def _load_state(self, folder: Path) -> None:
        """Weights, optimiser and the stage's state of a checkpoint, which someone may have given
        on: nothing in it is run.

        accelerate reads its own files as tensors, but states that are registered with it as any
        pickle; so the stage's state is read here.
        """
        require_data_only(folder)
        try:
            if any(folder.glob("model*.safetensors")):
                require_weights(self.stage.network, folder)
        except OSError as error:
            raise CheckpointError(
                f"{folder} is of another network: {error}. A network keeps its shape within a run; "
                "give another run.output"
            ) from error
        # Earlier checkpoints have it under a name that accelerate takes for its own.
        earlier = folder / "custom_checkpoint_0.pkl"
        if self.accelerator.is_main_process and earlier.is_file():
            earlier.rename(folder / STAGE_STATE)
        self.accelerator.wait_for_everyone()
        try:
            self.accelerator.load_state(str(folder))
        except Exception as error:  # whatever the files hold
            raise CheckpointError(
                f"{folder} cannot be continued from: {explained(error)}. To continue from the "
                f"checkpoint before it, move {folder.parent.name}/ to another place"
            ) from error
        if self.stage.state is None:
            return
        if not (folder / STAGE_STATE).is_file():
            raise CheckpointError(
                f"{folder} has no {STAGE_STATE}, which holds what this training keeps beside its "
                "weights (the moving average, with stage.teacher=ema): take the old options, or "
                f"begin a new run with stage.init={folder.parent} and another run.output"
            )
        try:
            self.stage.state.load_state_dict(read_pickle(folder / STAGE_STATE))
        except (RuntimeError, KeyError, TypeError) as error:
            raise CheckpointError(
                f"{folder / STAGE_STATE} is of another network: {first_line(error)}"
            ) from error

    def _log(self, logs: dict[str, torch.Tensor], bar: tqdm) -> None:
        values = {name: float(value) for name, value in logs.items()}
        bar.set_postfix({name: f"{value:.3g}" for name, value in values.items()}, refresh=False)
        line = {"step": self.step, "seconds": round(self.seconds, 1), **values}
        try:
            self.accelerator.log(values, step=self.step)
            if self.accelerator.is_main_process:
                with (self.output / "log.jsonl").open("a") as file:
                    file.write(json.dumps(line) + "\n")
        except OSError as error:
            if self._logs:
                print(
                    f"sharpdepth: the log of step {self.step} cannot be written ({error}); the "
                    "training goes on",
                    file=sys.stderr,
                )
            self._logs = False

    def _forget_log_after(self, step: int) -> None:
        """Drop the lines of updates that are done again, and the one that a kill cut short."""
        file = self.output / "log.jsonl"
        if not file.is_file():
            return
        kept = [line for line in file.read_text().splitlines() if 0 <= _step_of(line) <= step]
        write_durably(file, "".join(f"{line}\n" for line in kept).encode())

    def _announce(self) -> None:
        config, accelerator = self.config, self.accelerator
        images = config.optimizer.batch_size * config.optimizer.accumulate
        millions = sum(p.numel() for p in self._parameters) / 1e6
        accelerator.print(
            f"{len(self.data)} images of {config.data.width} x {config.data.height}, "
            f"{images * accelerator.num_processes} per update; {millions:.2f} M weights on "
            f"{accelerator.num_processes} x {accelerator.device}, from step {self.step}; "
            f"results in {self.output}"
        )

    def _report_unreadable(self) -> None:
        """List the images that could not be read, this process' and those of the others."""
        self._unreadable |= self.data.unreadable
        if self._unreadable:
            listed = self._list_unreadable()
            print(
                f"{len(self._unreadable)} images could not be read and were skipped; "
                + (f"they are listed in {listed}" if listed else "the list cannot be written"),
                file=sys.stderr,
            )

    @property
    def _unreadable_file(self) -> Path:
        return self.output / f"unreadable-{self.accelerator.process_index}.txt"

    def _list_unreadable(self) -> Path | None:
        """Write the list, with the lines of the run that this one continues; None: no room."""
        file = self._unreadable_file
        if not self._unreadable:
            return file
        before = file.read_text(errors="replace").splitlines() if file.is_file() else []
        lines = {*before, *(f"{image}: {reason}" for image, reason in self._unreadable.items())}
        try:
            write_durably(file, "".join(f"{line}\n" for line in sorted(lines)).encode())
        except OSError:
            return None
        return file

    def _check(self, stage: Stage) -> None:
        data: Any = self.config.data
        for name in ("width", "height"):
            if getattr(data, name) % stage.multiple:
                below = getattr(data, name) // stage.multiple * stage.multiple
                raise ValueError(
                    f"data.{name} is {getattr(data, name)}; the VAE needs a multiple of "
                    f"{stage.multiple}, such as {below or below + stage.multiple}"
                )
        if stage.needs_depth and data.source == "images":
            raise ValueError(
                "this stage learns from depth, and data.source is 'images'; use 'frames' (written "
                "by sharpdepth synth) or 'scenes'"
            )


def _step_of(line: str) -> int:
    """Of a line of log.jsonl; -1 for one that a kill or a power cut left torn."""
    try:
        return int(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return -1


def _mixed_precision(precision: str, cpu: bool) -> str:
    """accelerate's word for a configured precision."""
    cpu = cpu or parse_flag_from_env("ACCELERATE_USE_CPU") or not torch.cuda.is_available()
    multiplies_bf16 = has_amx() if cpu else torch.cuda.get_device_capability() >= (8, 0)
    if precision == "auto":
        precision = "bf16" if multiplies_bf16 else "fp32"
    if precision == "bf16" and not multiplies_bf16:
        print(
            "sharpdepth: optimizer.precision is bf16, which this machine has to emulate: an update "
            "may take many times as long as in fp32; auto chooses",
            file=sys.stderr,
        )
    return "no" if precision == "fp32" else precision


def _checkpoint_activations(network: torch.nn.Module) -> None:
    able = [m for m in network.modules() if hasattr(m, "enable_gradient_checkpointing")]
    if not able:
        raise ValueError(
            "optimizer.gradient_checkpointing is true; this stage's network cannot do that, set it "
            "to false"
        )
    able[0].enable_gradient_checkpointing()
