"""The loss of a step and its gradient, wherever the rows of the batch lie."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn

from distill import rows
from distill.contract import Batch
from distill.objectives import Loss, Task
from distill.training.batches import Batches
from distill.training.precision import Precision
from distill.training.ranks import Alone

_MOST_PASSES = 5


class Gradient:
    """Compute loss and gradient of a step: of the whole batch, or of shares one after the other.

    Each process takes its rows of the batch, in `parts` parts. The result is that of the whole
    batch, up to rounding: noise is that of the row, and each share's loss is weighted by its rows.
    Where a loss wants sums over the batch (masks, ratios), processes add them up as they go; parts
    are gone through before, without a gradient, to learn the sums.

    Arguments:
        task: What is trained.
        batches: This process's rows of the batches.
        parts: In how many parts each process takes its rows.
        precision: What losses are computed in.
        ranks: The processes.

    Errors:
        ValueError: Fewer rows than parts.
    """

    def __init__(
        self,
        task: Task,
        batches: Batches,
        parts: int,
        precision: Precision,
        ranks: Alone,
    ) -> None:
        size = batches.size
        if size < parts * ranks.count:
            raise ValueError(
                f"trainer.batch_size: wanted a row or more for each of {parts * ranks.count} parts "
                f"({ranks.count} processes, accumulate={parts}), got {size}. Raise batch_size, or "
                "take fewer."
            )
        self.task, self.batches, self.size = task, batches, size
        self.parts, self.precision, self.ranks = parts, precision, ranks
        self.device = batches.device
        self._wrapped = ranks.wrapped(task)
        self._apart = True
        self._started = parts == 1
        self._depth = (0, 0)

    def __call__(self, step: int, progress: float) -> Loss:
        """Leave a step's gradient in the parameters, which hold none before; return its loss."""
        if self.ranks.count == self.parts == 1:
            torch.manual_seed(self._seed_of(step))
            batch = self.batches.take(step)
            with self.precision.autocast(self.device):
                loss: Loss = self.task(batch, progress)
            _backward(loss.value)
            return loss
        batch = self.batches.take(step)
        if not self._started:
            self._start(step, progress, batch)
        if self._apart:
            statistics = [(buffer, buffer.clone()) for buffer in self.task.model.buffers()]
            try:
                return self._of_shares(step, progress, batch, lambda: rows.apart)
            except rows.ApartError:
                self._apart = False
                self.task.zero_grad(set_to_none=True)
                for buffer, before in statistics:
                    buffer.copy_(before)
        if self.parts == 1:
            return self._of_shares(step, progress, batch, lambda: self.ranks.total)
        sums = self._sums(step, progress, batch)
        return self._of_shares(step, progress, batch, lambda: _Replayed(sums))

    def _start(self, step: int, progress: float, batch: Batch) -> None:
        """Let what starts from the first batch see all of it."""
        begin, end = self.ranks.rows(self.size)
        share = self._share(step, begin, end, self.ranks.total, batch)
        share.across = self.ranks.across
        with torch.no_grad():
            self._loss(self.task, share, batch, progress)
        self._started = True

    def _sums(self, step: int, progress: float, batch: Batch) -> list[Tensor]:
        """Return the sums that a step's losses ask for, in order, over the whole batch.

        Where one sum is computed from another, it is right a pass after that. How many passes it
        takes is found out once, and again where other sums are asked for.
        """
        sums: list[Tensor] = []
        for passes in range(1, _MOST_PASSES + 1):
            former, sums = sums, self._pass(step, progress, batch, sums)
            if (passes, len(sums)) == self._depth:
                return sums
            if len(former) == len(sums) and all(map(_same, former, sums)):
                self._depth = passes - 1, len(sums)
                return sums
        return sums

    def _pass(self, step: int, progress: float, batch: Batch, known: list[Tensor]) -> list[Tensor]:
        """Return the sums of a pass without gradient that is given those of the pass before."""
        found: list[list[Tensor]] = []
        for begin, end in self._edges():
            heard: list[Tensor] = []

            def note(own: Tensor, heard: list[Tensor] = heard) -> Tensor:
                heard.append(own)
                return known[len(heard) - 1] if len(heard) <= len(known) else own

            share = self._share(step, begin, end, note, batch)
            with torch.no_grad():
                self._loss(self.task, share, self._part(batch, begin, end), progress)
            found.append(heard)
        own = torch.stack([torch.cat(heard) for heard in found]).sum(0)
        return list(self.ranks.total(own).split([len(part) for part in found[0]]))

    def _of_shares(
        self,
        step: int,
        progress: float,
        batch: Batch,
        totals: Callable[[], Callable[[Tensor], Tensor]],
    ) -> Loss:
        losses: list[tuple[float, Loss]] = []
        edges = list(self._edges())
        for begin, end in edges:
            share = self._share(step, begin, end, totals(), batch)
            if self.parts == 1:
                share.across = self.ranks.across
            with rows.sharing(share), self._quiet(last=end == edges[-1][1]):
                loss = self._loss(self._wrapped, share, self._part(batch, begin, end), progress)
                # Wrappers average over processes, and weights add up to 1 over all shares.
                _backward(loss.value * (self.ranks.count * share.weight))
            losses.append((share.weight, Loss(loss.value.detach(), loss.parts)))
        return self._whole(losses)

    def _loss(self, task: nn.Module, share: rows.Share, batch: Batch, progress: float) -> Loss:
        # What does not draw by rows draws otherwise in each share.
        torch.manual_seed(hash((share.seed, share.begin)) % 2**63)
        with rows.sharing(share), self.precision.autocast(self.device):
            return task(batch.to(self.device), progress)

    def _share(
        self, step: int, begin: int, end: int, totals: Callable[[Tensor], Tensor], batch: Batch
    ) -> rows.Share:
        first, last = self.ranks.rows(self.size)

        def after() -> Batch:
            if end < last:
                return batch.part(end - first, end - first + 1)
            row = end % self.size
            return self.batches.data.train_rows(step, self.size, self.batches.seed, row, row + 1)

        return rows.Share(
            begin, end, self.size, self._seed_of(step), totals, None, lambda: after().features
        )

    def _part(self, batch: Batch, begin: int, end: int) -> Batch:
        first, _ = self.ranks.rows(self.size)
        return batch.part(begin - first, end - first)

    def _edges(self) -> Iterator[tuple[int, int]]:
        first, last = self.ranks.rows(self.size)
        for part in range(self.parts):
            begin, end = (first + (part + k) * (last - first) // self.parts for k in (0, 1))
            yield begin, end

    def _quiet(self, last: bool) -> AbstractContextManager:
        """Keep gradients at home until the last part."""
        silent = getattr(self._wrapped, "no_sync", None)
        return nullcontext() if last or silent is None else silent()

    def _whole(self, losses: list[tuple[float, Loss]]) -> Loss:
        """Average the losses of shares, over processes too."""
        names = list(losses[0][1].parts)
        own = torch.zeros(1 + len(names), dtype=torch.float64)
        for weight, loss in losses:
            numbers = [loss.value, *(loss.parts[name] for name in names)]
            own += weight * torch.stack([n.detach().cpu().double() for n in numbers])
        value, *parts = self.ranks.reported(own).float().unbind()
        return Loss(value, dict(zip(names, parts, strict=True)))

    def _seed_of(self, step: int) -> int:
        return hash((self.batches.seed, step)) % 2**63


def _backward(value: Tensor) -> None:
    """Go backward, unless every term has a weight of zero now."""
    if value.requires_grad:
        value.backward()


def _same(one: Tensor, other: Tensor) -> bool:
    return torch.allclose(one, other, rtol=0, atol=0, equal_nan=True)


class _Replayed:
    """Gives the sums that a first pass has found, in its order."""

    def __init__(self, sums: list[Tensor]) -> None:
        self._sums = iter(sums)

    def __call__(self, own: Tensor) -> Tensor:
        return next(self._sums)
