"""Make a model faster without training: `python training/compress.py --model FOLDER --data DATA --output FOLDER`.

The outputs of the convolutions at the coarse levels lie near a subspace of far fewer dimensions than they have
channels, and so does what the networks read from the neighbours. Both are found by running the model on damaged
training clips, and the weights are replaced by products of two smaller ones (Zhang et al. 2016, "Accelerating Very Deep
Convolutional Networks", arXiv:1505.06798). Both ends of the dial get the same subspaces, so that their weights can
still be mixed.
"""

from __future__ import annotations

import argparse
import dataclasses
import logging
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from data import Samples
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from redetail.engines import enhance_arrays
from redetail.engines.device import Placement
from redetail.engines.restoration import NetworkConfig, RestorationUNet, load, save
from redetail.engines.restoration.dial import FAITHFUL
from redetail.engines.restoration.engine import restoration_engine
from redetail.engines.restoration.folder import Loaded
from redetail.settings import resolve

log = logging.getLogger("compress")

SIDE, CLIPS, FRAMES = 128, 8, 8  # of a batch of clips on which the subspaces are found
WEIGHINGS = {"fuse": "narrow", "review": "narrow_drafts"}  # what weighs the neighbours, and what narrows them first


class Moments:
    """Mean and second moments of the channels of everything added, in double precision."""

    def __init__(self) -> None:
        self.count, self.total, self.products = 0, torch.zeros(()), torch.zeros(())

    def add(self, values: Tensor) -> None:
        """Take (N, C, h, w) in."""
        rows = values.movedim(1, -1).flatten(0, -2).double()
        self.count, self.total = self.count + len(rows), self.total + rows.sum(dim=0)
        self.products = self.products + rows.T @ rows

    @property
    def mean(self) -> Tensor:
        """(C,)."""
        return self.total / self.count

    @property
    def second(self) -> Tensor:
        """(C, C): the mean of x x^T."""
        return self.products / self.count

    def axes(self, rank: int) -> Tensor:
        """(C, rank): the principal axes with the most variance."""
        covariance = self.second - self.mean[:, None] * self.mean
        return torch.linalg.eigh(covariance).eigenvectors.flip(1)[:, :rank]


def ranked(network: RestorationUNet, ranks: tuple[int, ...]) -> Iterator[tuple[str, nn.Conv2d, int]]:
    """Name, convolution and new rank of what is to be factored."""
    for name, part in network.named_modules():
        if name.endswith((".block.first", ".block.second")) and isinstance(part, nn.Conv2d):
            rank = ranks[int(name.split(".")[1])]
            if rank:
                yield name, part, rank


@contextmanager
def observed(network: RestorationUNet, ranks: tuple[int, ...], moments: dict[str, Moments]) -> Iterator[None]:
    """While this is open, the outputs of the convolutions and the neighbours' input are added to the moments."""
    handles = []
    for name, part, _ in ranked(network, ranks):
        taken = moments.setdefault(name, Moments())
        handles.append(part.register_forward_hook(partial(lambda to, _, __, output: to.add(output), taken)))
    for name in WEIGHINGS:
        weighing = getattr(network, name)
        if weighing is not None:
            taken, own = moments.setdefault(name, Moments()), network.config.latent_channels
            see = partial(lambda to, start, _, given: to.add(given[0][:, start:]), taken, own)
            handles.append(weighing[0].register_forward_pre_hook(see))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def narrowing(seen: Tensor, weights: list[Tensor], rank: int) -> tuple[Tensor, Tensor]:
    """(rank, C) and (C, rank): into fewer channels and back, chosen so that the output of these weights changes least.

    ``seen`` (C, C): the second moments of the channels; ``weights``: (outputs, C, k, k) of the convolutions that read
    them. This minimises the squared change of each tap's product, summed.
    """
    heard = torch.stack([torch.einsum("ocij,odij->cd", each, each) for each in weights]).sum(dim=0)
    ear, back = root(heard)
    axes = torch.linalg.svd(ear @ root(seen)[0]).U[:, :rank]
    return axes.T @ ear, back @ axes


def root(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """The symmetric square root of a positive matrix, and its inverse."""
    values, vectors = torch.linalg.eigh(matrix)
    values = values.clamp_min(1e-12 * float(values.max())).sqrt()
    return vectors * values @ vectors.T, vectors / values @ vectors.T


def compressed(
    networks: list[RestorationUNet], moments: dict[str, Moments], ranks: tuple[int, ...], neighbours: int
) -> list[RestorationUNet]:
    """The networks with factored weights, all in the same subspaces."""
    config = dataclasses.replace(networks[0].config, ranks=ranks, neighbour_rank=neighbours)
    states = [{name: value.double() for name, value in network.state_dict().items()} for network in networks]
    for name, _, rank in ranked(networks[0], ranks):
        axes, mean = moments[name].axes(rank), moments[name].mean
        for state in states:
            factor(state, name, axes, mean)
    for name, narrow in WEIGHINGS.items() if neighbours else ():
        if getattr(networks[0], name) is not None:
            own = config.latent_channels
            read = [state[f"{name}.0.weight"][:, own:] for state in states]
            into, back = narrowing(moments[name].second, read, neighbours)
            for state in states:
                weight = state[f"{name}.0.weight"]
                through = torch.einsum("ocij,cr->orij", weight[:, own:], back)
                state[f"{name}.0.weight"] = torch.cat([weight[:, :own], through], dim=1)
                state[f"{narrow}.weight"] = into[:, :, None, None]
    return [network_of(config, state) for state in states]


def factor(state: dict[str, Tensor], name: str, axes: Tensor, mean: Tensor) -> None:
    """Replace a convolution by one into the space of these axes and one out of it; beside them it gives the mean."""
    weight, bias = state.pop(f"{name}.weight"), state.pop(f"{name}.bias")
    state[f"{name}.0.weight"] = torch.einsum("or,ocij->rcij", axes, weight)
    state[f"{name}.1.weight"] = axes[:, :, None, None]
    state[f"{name}.1.bias"] = axes @ (axes.T @ (bias - mean)) + mean


def network_of(config: NetworkConfig, state: dict[str, Tensor]) -> RestorationUNet:
    """A network of this shape with these weights."""
    network = RestorationUNet(config)
    network.load_state_dict({name: value.float() for name, value in state.items()})
    return network.eval().requires_grad_(False)


def damaged_clips(data: Path, seed: int, batches: int) -> Iterator[np.ndarray]:
    """Damaged training clips, (F, h, w, 3) float32 0..1."""
    for batch in islice(Samples(data, seed, sizes=((SIDE, CLIPS, FRAMES),)), batches):
        yield from batch.stages[:, 0].numpy().astype(np.float32) / 255


def watched(loaded: Loaded, clips: Iterable[np.ndarray], ranks: tuple[int, ...]) -> list[dict[str, Moments]]:
    """The moments of the networks of both ends of the dial together, and of the one that makes the drafts."""
    engine = restoration_engine(loaded, Placement(torch.device("cpu"), torch.float32))
    ends: dict[str, Moments] = {}
    drafts: dict[str, Moments] = {}
    with ExitStack() as stack:
        for network, moments in ((loaded.network, ends), (loaded.inventive, ends), (loaded.draft, drafts)):
            if network is not None:
                stack.enter_context(observed(network, ranks, moments))
        for crops in clips:
            for denoise in (FAITHFUL, 1.0):
                settings = resolve({"denoise": denoise}, engine.capabilities.defaults)
                enhance_arrays(engine, crops, np.ones((1, *crops.shape[1:3]), np.float32), settings)
    return [ends, drafts]


def main() -> None:
    """Find the subspaces and write the model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True, help="what prepare.py wrote")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--ranks", type=int, nargs="+", default=[0, 0, 32, 32], help="of each level; 0: as it is")
    parser.add_argument("--neighbours", type=int, default=0, help="channels for the neighbours; 0: all")
    parser.add_argument("--batches", type=int, default=5, help=f"of {CLIPS} clips that are looked at")
    parser.add_argument("--seed", type=int, default=77)
    parser.add_argument("--version", help="of the model that is written; none: that of the one that is read")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    loaded, ranks = load(options.model), tuple(options.ranks)
    ends, drafts = watched(loaded, damaged_clips(options.data, options.seed, options.batches), ranks)
    networks = [loaded.network] if loaded.inventive is None else [loaded.network, loaded.inventive]
    faithful, *others = compressed(networks, ends, ranks, options.neighbours)
    draft = compressed([loaded.draft], drafts, ranks, options.neighbours)[0] if loaded.draft else None
    card = dataclasses.replace(loaded.card, version=options.version or loaded.card.version)
    save(options.output, faithful, card, draft, others[0] if others else None)
    log.info("%s: ranks %s, %d channels of neighbours", options.output, ranks, options.neighbours)


if __name__ == "__main__":
    main()
