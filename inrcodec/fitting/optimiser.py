"""Moves stacks of small matrices downhill: SOAP, Adam in a slowly turning Shampoo eigenbasis."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

FLOOR = 1e-3
"""Least scale of a direction, as a share of the root mean square over its matrix."""


class Soap:
    """SOAP (Vyas et al. 2024) for parameters `[matrices, rows, columns]`, all matrices at once.

    The gradient is rotated into the eigenbases of its averaged left and right second moments,
    refreshed every `refresh` steps by one step of orthogonal iteration; there it is scaled as in
    Adam. For the small matrices of a field this comes close to a second-order method.
    """

    def __init__(
        self,
        parameters: Sequence[Tensor],
        betas: tuple[float, float] = (0.95, 0.95),
        refresh: int = 10,
        eps: float = 1e-12,
    ) -> None:
        self.parameters = list(parameters)
        self.betas, self.refresh, self.eps = betas, refresh, eps
        self.step_count = 0
        self._states: list[_State] = []

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """Move every parameter by about `rate` along its preconditioned gradient, then clear it."""
        gradients = [p.grad for p in self.parameters]
        if not self._states:
            # The first gradient only starts the bases, as in the paper.
            self._states = [_State(g) for g in gradients if g is not None]
        else:
            self.step_count += 1
            for p, g, state in zip(self.parameters, gradients, self._states, strict=True):
                assert g is not None
                p.sub_(state.direction(g, self.betas, self.step_count, self.eps), alpha=rate)
                state.update(g, self.betas[1])
                if self.step_count % self.refresh == 0:
                    state.turn()
        for p in self.parameters:
            p.grad = None


class _State:
    """Moments and eigenbases of one parameter."""

    def __init__(self, gradient: Tensor) -> None:
        self.left = gradient @ gradient.mT
        self.right = gradient.mT @ gradient
        self.left_basis = _eigenbasis(self.left)
        self.right_basis = _eigenbasis(self.right)
        self.mean = torch.zeros_like(gradient)
        self.square = torch.zeros_like(gradient)

    def direction(
        self, gradient: Tensor, betas: tuple[float, float], step: int, eps: float
    ) -> Tensor:
        rotated = self.left_basis.mT @ gradient @ self.right_basis
        self.mean.lerp_(gradient, 1 - betas[0])
        self.square.lerp_(rotated.square(), 1 - betas[1])
        mean = self.left_basis.mT @ self.mean @ self.right_basis / (1 - betas[0] ** step)
        scale = (self.square / (1 - betas[1] ** step)).sqrt_()
        # Directions that the gradient never takes hold nothing but rounding noise in both moments.
        scale += FLOOR * scale.square().mean((-2, -1), keepdim=True).sqrt() + eps
        direction: Tensor = self.left_basis @ (mean / scale) @ self.right_basis.mT
        return direction

    def update(self, gradient: Tensor, beta: float) -> None:
        self.left.lerp_(gradient @ gradient.mT, 1 - beta)
        self.right.lerp_(gradient.mT @ gradient, 1 - beta)

    def turn(self) -> None:
        """One orthogonal iteration of both bases, sorted by eigenvalue; the moments follow."""
        self.left_basis, order = _turned(self.left, self.left_basis)
        self.square = self.square.gather(-2, order[..., :, None].expand_as(self.square))
        self.right_basis, order = _turned(self.right, self.right_basis)
        self.square = self.square.gather(-1, order[..., None, :].expand_as(self.square))


def _eigenbasis(moment: Tensor) -> Tensor:
    # In float32 some matrices of rank one have eigenvectors that are not numbers.
    basis: Tensor = torch.linalg.eigh(moment.double())[1].to(moment.dtype)
    if bool(basis.isfinite().all()):
        return basis
    return torch.eye(moment.shape[-1], device=moment.device).expand_as(moment).contiguous()


def _turned(moment: Tensor, basis: Tensor) -> tuple[Tensor, Tensor]:
    eigenvalues = (basis * (moment @ basis)).sum(-2)
    order = eigenvalues.argsort(-1, descending=True)
    basis = basis.gather(-1, order[..., None, :].expand_as(basis))
    return torch.linalg.qr(moment @ basis)[0], order
