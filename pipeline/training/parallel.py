"""Several processes training one net: what each takes of a batch, and what they tell one another.

A batch is the global one: with more processes each takes a smaller share, and the sum of their gradients is that of one
process. Gradients are summed in one piece whose layout never changes, so a resumed training adds in the same order.
"""

from typing import Any, cast

import torch
from lightning_fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning_fabric.utilities.rank_zero import rank_zero_only
from pytorch_lightning.strategies import DDPStrategy, ModelParallelStrategy, Strategy
from torch import Tensor, distributed, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, fully_shard


def active() -> bool:
    return distributed.is_available() and distributed.is_initialized()


def rank() -> int:
    return distributed.get_rank() if active() else 0


def world() -> int:
    return distributed.get_world_size() if active() else 1


def share(*tensors: Tensor) -> tuple[list[Tensor], int]:
    """This process's rows of a batch, and how many: where there are fewer rows than processes, one that counts 0.

    So every process runs the net as often as the others, which sharded weights need.
    """
    if world() == 1:
        return list(tensors), len(tensors[0])
    mine = [tensor.tensor_split(world())[rank()] for tensor in tensors]
    if len(mine[0]):
        return mine, len(mine[0])
    return [tensor[:1] for tensor in tensors], 0


def total(tensor: Tensor) -> Tensor:
    """The sum over the processes, in place."""
    if active():
        distributed.all_reduce(tensor)
    return tensor


def highest(value: int, device: torch.device) -> int:
    """The greatest of the processes' values: what one of them wants, all do."""
    if not active():
        return value
    found = torch.tensor(value, device=device)
    distributed.all_reduce(found, distributed.ReduceOp.MAX)
    return int(found)


def gathered(value: Any) -> list[Any]:
    """Each process's value, by rank."""
    if not active():
        return [value]
    values = [None] * world()
    distributed.all_gather_object(values, value)
    return values


def of_first(value: Any) -> Any:
    """Rank 0's value, for all."""
    values = [value]
    if active():
        distributed.broadcast_object_list(values)
    return values[0]


def sum_gradients(network: nn.Module) -> None:
    """Replaces each gradient by the sum over the processes; those of a sharded net are summed by FSDP already."""
    if not active() or isinstance(network, FSDPModule):
        return
    gradients = [one.grad for one in network.parameters() if one.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    distributed.all_reduce(flat)
    parts = torch.split(flat, [gradient.numel() for gradient in gradients])
    for gradient, part in zip(gradients, parts, strict=True):
        gradient.copy_(part.view_as(gradient))


class Replicas(DDPStrategy):
    """The same weights in each process. Not DistributedDataParallel: its buckets change while it runs."""

    def configure_ddp(self) -> None:
        """Nothing to wrap: seed and data are the same, so are the weights; `sum_gradients` keeps them so."""


class Shards(ModelParallelStrategy):
    """FSDP2: each process keeps a part of the weights; a checkpoint is whole, as that of one process."""

    def __init__(self, processes: int) -> None:
        super().__init__(data_parallel_size=processes, tensor_parallel_size=1, save_distributed_checkpoint=False)


def strategy(name: str, processes: int) -> Strategy | str:
    if processes == 1:
        return "auto"
    return Shards(processes) if name == "fsdp" else Replicas()


def environment() -> ClusterEnvironment:
    """Who started the processes: launch.py. Not what Lightning concludes from variables of SLURM, LSF or torchrun."""
    rank_zero_only.rank = rank()  # type: ignore[attr-defined]  # set on the function; that too comes from them
    return TorchElasticEnvironment() if active() else LightningEnvironment()


def shard(network: nn.Module, mesh: DeviceMesh) -> None:
    """Shards the layers of each list of layers by themselves, then the rest; gradients are summed, not averaged."""
    layers = [layer for module in network.modules() if isinstance(module, nn.ModuleList) for layer in module]
    for unit in [*layers, network]:
        sharded = fully_shard(unit, mesh=mesh)  # the same module
        sharded.set_gradient_divide_factor(1.0)
        sharded.set_force_sum_reduction_for_comms(True)  # gloo knows no other


def whole_state(network: nn.Module) -> dict[str, Tensor]:
    """The weights on the CPU, put together again where they are sharded; all processes have to ask."""
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

    if isinstance(network, FSDPModule):
        options = StateDictOptions(full_state_dict=True, cpu_offload=True)
        # an optimizer's state may hold more than tensors, a model's not
        state = cast("dict[str, Tensor]", get_model_state_dict(network, options=options))
    else:
        state = network.state_dict()
    return {name: tensor.cpu().contiguous() for name, tensor in state.items()}
