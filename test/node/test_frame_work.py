# SPDX-License-Identifier: Apache-2.0
"""What counts as being out of memory, for errors that torch really raises."""

import pytest
import torch

pytest.importorskip("rclpy", reason="needs ROS 2 (pip install .[ros])")

from sharpdepth_ros.node.frame_handler import _is_out_of_memory


def test_a_tensor_larger_than_the_machine_is_out_of_memory():
    with pytest.raises(RuntimeError) as raised:
        torch.empty(2**60, dtype=torch.uint8)
    assert _is_out_of_memory(raised.value)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"), True),
        (MemoryError(), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("can't allocate memory"), False),
    ],
    ids=lambda value: str(value)[:30],
)
def test_errors_of_the_gpu_libraries(error, expected):
    assert _is_out_of_memory(error) == expected
