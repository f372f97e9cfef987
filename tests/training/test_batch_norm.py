"""Two processes normalize, and learn, as one does that sees all their studies."""

from pathlib import Path

import torch
from timm.layers.norm_act import BatchNormAct2d
from torch import Tensor, distributed, multiprocessing, nn
from torch.nn.parallel import DistributedDataParallel

from training.batch_norm import SharedBatchNorm, share_batch_norm

COUNT, STEPS = 2, 3


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 6, 3), BatchNormAct2d(6), nn.Conv2d(6, 4, 3), nn.BatchNorm2d(4)
    )


def images(step: int) -> Tensor:
    """Each half of a batch unlike the other: its own statistics would not do."""
    half = torch.rand(4, 1, 9, 9, generator=torch.Generator().manual_seed(step))
    return torch.cat((half, 3 * half.flip(0) + 1))


def learned(module: nn.Module, share: slice) -> dict[str, Tensor]:
    """Its weights, buffers and last output after some steps on a share of each batch."""
    optimizer = torch.optim.SGD(module.parameters(), 0.1)
    for step in range(STEPS):
        output = module(images(step)[share])
        optimizer.zero_grad()
        (output**2 * torch.arange(1.0, 50.0, 2.0).view(5, 5)).mean().backward()
        optimizer.step()
    inner = module.module if isinstance(module, DistributedDataParallel) else module
    return {**inner.state_dict(), "output": output.detach()}


def process(rank: int, folder: str) -> None:
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=COUNT
    )
    made = network()
    share_batch_norm(made)
    found = learned(DistributedDataParallel(made), slice(4 * rank, 4 * rank + 4))
    torch.save(found, f"{folder}/{rank}.pt")
    distributed.destroy_process_group()


def test_two_processes_learn_what_one_does_with_all_their_studies(tmp_path: Path) -> None:
    multiprocessing.spawn(process, (str(tmp_path),), nprocs=COUNT)
    one = learned(network(), slice(None))
    two = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(COUNT)]
    for name, value in one.items():
        shared = torch.cat([each[name] for each in two]) if name == "output" else two[0][name]
        assert torch.allclose(shared, value, atol=1e-5), name
    assert one["1.running_mean"].abs().max() > 0.1


def test_it_keeps_the_names_and_the_results_of_what_it_replaces() -> None:
    before, after = network().eval(), network().eval()
    share_batch_norm(after)
    assert sum(isinstance(part, SharedBatchNorm) for part in after.modules()) == 2
    assert after.state_dict().keys() == before.state_dict().keys()
    with torch.no_grad():
        assert torch.allclose(after(images(0)), before(images(0)), atol=1e-6)
