"""A world of pixels as an entropy coder: recorded play becomes a file and comes back bit for bit.

Each frame is coded by what the model foretells of it from the true frames before and the action, which is in the file
as well. Codes of the change are coded bits back (Townsend et al. 2019, "Practical lossless compression with latent
variables using bits back coding"): they are drawn from the posterior with bits of the frames after, which were coded
before; the last frames have no such bits and take the likeliest code. The first frame of an episode costs what its
colors cost at each place in the training frames.

As with every such coder both sides must compute the same probabilities to the last bit: the same run, build of torch
and kind of processor. A checksum tells where they did not.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from rl_gen_lab.compression.ans import Stack
from rl_gen_lab.data.records import DataError
from rl_gen_lab.generators.bounds import BITS
from rl_gen_lab.generators.pixel_coding import Coder, Reader, Writer, code_pixels
from rl_gen_lab.generators.world_models.codes import code_nats, drawn_codes
from rl_gen_lab.generators.world_models.interfaces import World
from rl_gen_lab.generators.world_models.patches import from_patches, to_patches
from rl_gen_lab.generators.world_models.pixels import Past, PixelDream

MAGIC = b"RLGS\x01"
# magic and version, weights, episodes, steps without bits back, checksum
HEADER = struct.Struct("<5s6sHHI")
SAME = 0.999  # probability that a frame of a step has the action of the frame before
Play = tuple[Tensor, Tensor]  # frames (T + 1, H, W) uint8 and actions (T, F) int64 of an episode


class SequenceCodec:
    """Episodes to bytes and back, by a model in evaluation mode, on the CPU."""

    def __init__(self, model: PixelDream, world: World, digest: str) -> None:
        """digest: of the model's weights, 12 hex digits."""
        self.model, self.world, self.digest = model, world, bytes.fromhex(digest)

    @torch.no_grad()
    def encode(self, episodes: Sequence[Play], on_step: Callable[[int], None] = lambda done: None) -> bytes:
        """Encode episodes. Raises: DataError for frames with a color that has no number."""
        if any((frames >= len(self.world.colors)).any() for frames, _ in episodes):
            raise DataError("a frame has a color that the training frames hardly ever show: it cannot be encoded")
        memories = [self._memories(frames, executed) for frames, executed in episodes]
        plain = 0
        while True:
            try:
                stack = self._encoded(episodes, memories, plain, on_step)
                break
            except ValueError:  # too few bits to draw a code with
                plain += 1
        header = HEADER.pack(MAGIC, self.digest, len(episodes), plain, _checksum(episodes))
        return header + b"".join(struct.pack("<I", len(executed)) for _, executed in episodes) + stack.to_bytes()

    def _encoded(
        self, episodes: Sequence[Play], memories: list[list[Tensor | None]], plain: int, on_step: Callable[[int], None]
    ) -> Stack:
        """Push the last step first: it is decoded last. plain: steps without bits back. Raises: ValueError."""
        stack, done = Stack(), 0
        for (frames, executed), known in zip(reversed(episodes), reversed(memories), strict=True):
            for step in reversed(range(len(executed))):
                past = self._look(list(frames), executed, known[step], step)[0]
                self._push(stack, past, frames[step + 1], bits_back=done >= plain)
                done += 1
                on_step(done)
            self._push_beginning(stack, frames[0], executed)
        return stack

    @torch.no_grad()
    def decode(self, data: bytes, on_step: Callable[[int], None] = lambda done: None) -> list[Play]:
        """Return the episodes. Raises: DataError for a file of another run, or damaged."""
        lengths, plain, checksum, start = self._read_header(data)
        try:
            stack, done = Stack(data[start:]), 0
            episodes = []
            for length in lengths:
                frame, executed = self._pop_beginning(stack, length)
                frames, memory = [frame], None
                for step in range(length):
                    past, memory = self._look(frames, executed, memory, step)
                    frames.append(self._pop(stack, past, bits_back=done < sum(lengths) - plain))
                    done += 1
                    on_step(done)
                episodes.append((torch.stack(frames), executed))
        except ValueError as error:
            raise DataError(f"the file cannot be decoded: {error}") from error
        if _checksum(episodes) != checksum:
            raise DataError(
                "the file cannot be decoded: it is damaged, or it was encoded by another build of torch or processor"
            )
        return episodes

    @torch.no_grad()
    def bound_bits(self, episodes: Sequence[Play]) -> float:
        """Return what the steps cost by the model's bound, actions and first frames left out [bits]."""
        nats, draws = 0.0, torch.Generator().manual_seed(0)
        for frames, executed in episodes:
            memory = None
            for step in range(len(executed)):
                past, memory = self._look(list(frames), executed, memory, step)
                target = to_patches(frames[step + 1][None], self.model.grid)
                chosen, code = None, torch.zeros(1)
                if self.model.codes is not None:
                    prior, posterior = self.model.prior(past), self.model.posterior(past, target)
                    chosen, code = drawn_codes(posterior, 1.0, draws), code_nats(posterior, prior)
                prediction = self.model.foretell(past, chosen, code)
                pixels = F.cross_entropy(prediction.logits, target.long(), reduction="none") * self.model.inside
                nats += float(pixels.sum() + code.sum())
        return BITS * nats

    def steps(self, data: bytes) -> int:
        """Return the number of steps in a file. Raises: DataError."""
        return sum(self._read_header(data)[0])

    def _read_header(self, data: bytes) -> tuple[list[int], int, int, int]:
        """Return lengths of episodes, steps without bits back, checksum, and where it ends. Raises: DataError."""
        if len(data) < HEADER.size or data[: len(MAGIC) - 1] != MAGIC[:-1]:
            raise DataError("this is no file of encoded play, or it was cut short")
        magic, digest, count, plain, checksum = HEADER.unpack_from(data)
        if magic != MAGIC:
            raise DataError("the file was written by another version of this program")
        if digest != self.digest:
            raise DataError("the file was encoded with another run")
        start = HEADER.size + 4 * count
        if len(data) < start:
            raise DataError("the file was cut short")
        lengths = [struct.unpack_from("<I", data, HEADER.size + 4 * i)[0] for i in range(count)]
        return lengths, plain, checksum, start

    def _look(
        self, frames: Sequence[Tensor], executed: Tensor, memory: Tensor | None, step: int
    ) -> tuple[Past, Tensor]:
        """Return what is known at a step, one at a time on both sides, and the memory afterwards."""
        context = self.model.config.context
        shown = torch.stack([frames[max(i, 0)] for i in range(step - context + 1, step + 1)])
        patches = to_patches(shown, self.model.grid)[None]
        return self.model.remember(patches, executed[None, step : step + 1], memory)

    def _memories(self, frames: Tensor, executed: Tensor) -> list[Tensor | None]:
        """Return the memory before each step."""
        memories: list[Tensor | None] = [None]
        for step in range(len(executed)):
            memories.append(self._look(list(frames), executed, memories[-1], step)[1])
        return memories

    def _push(self, stack: Stack, past: Past, frame: Tensor, bits_back: bool) -> None:
        """Add a frame."""
        codes = None
        if self.model.codes is not None:
            reader = Reader(stack)
            posterior = _shares(self.model.posterior(past, to_patches(frame[None], self.model.grid)))
            codes = [reader.one_of(shares, None) if bits_back else int(shares.argmax()) for shares in posterior]
        writer = Writer()
        if codes is not None:
            for shares, code in zip(_shares(self.model.prior(past)), codes, strict=True):
                writer.one_of(shares, code)
        self._code_frame(writer, past, codes, frame)
        writer.push(stack)

    def _pop(self, stack: Stack, past: Past, bits_back: bool) -> Tensor:
        """Take a frame (H, W) uint8."""
        reader, codes = Reader(stack), None
        if self.model.codes is not None:
            codes = [reader.one_of(shares, None) for shares in _shares(self.model.prior(past))]
        frame = self._code_frame(reader, past, codes, None)
        if codes is not None and bits_back:
            following = to_patches(frame[None], self.model.grid)
            writer = Writer()
            for shares, code in zip(_shares(self.model.posterior(past, following)), codes, strict=True):
                writer.one_of(shares, code)
            writer.push(stack)
        return frame

    def _code_frame(self, coder: Coder, past: Past, codes: list[int] | None, frame: Tensor | None) -> Tensor:
        """Code the pixels of a frame (H, W), None to read; return it."""
        chosen = None
        if codes is not None and self.model.codes is not None:
            chosen = F.one_hot(torch.tensor([codes]), self.model.codes.values).float()
        logits = self.model.foretell(past, chosen, torch.zeros(1)).logits[0, :-1]  # the last: other colors
        return self._code_colors(coder, from_patches(logits, self.model.size), frame)

    def _code_colors(self, coder: Coder, logits: Tensor, frame: Tensor | None) -> Tensor:
        """logits: (K, H, W) of the colors."""
        log_p = logits.double().flatten(1).log_softmax(0).numpy()
        known = None if frame is None else frame.flatten().long().numpy()
        return torch.from_numpy(code_pixels(coder, log_p, known)).to(torch.uint8).view(self.model.size)

    def _push_beginning(self, stack: Stack, frame: Tensor, executed: Tensor) -> None:
        """Add the actions and the first frame of an episode."""
        writer = Writer()
        self._code_actions(writer, len(executed), executed)
        self._code_colors(writer, self._still(), frame)
        writer.push(stack)

    def _pop_beginning(self, stack: Stack, length: int) -> Play:
        reader = Reader(stack)
        executed = self._code_actions(reader, length, None)
        return self._code_colors(reader, self._still(), None), executed

    def _still(self) -> Tensor:
        """Return log shares of the colors at each pixel, (K, H, W)."""
        return from_patches(self.model.mean, self.model.size)[:-1].clamp_min(1e-9).log()

    def _code_actions(self, coder: Coder, length: int, executed: Tensor | None) -> Tensor:
        """Code actions (T, F): the first of a step is any, the others hardly ever differ from it."""
        skip, count = self.world.frame_skip, self.world.num_actions + 1
        rows = []
        for step in range(length):
            row: list[int] = []
            for place in range(skip):
                known = None if executed is None else int(executed[step, place]) + 1
                if row and coder.either(SAME, None if known is None else known == row[-1]):
                    row.append(row[-1])
                else:
                    row.append(coder.one_of(np.full(count, 1 / count), known))
            rows.append([action - 1 for action in row])
        return torch.tensor(rows, dtype=torch.int64).reshape(length, skip)


def _shares(logits: Tensor) -> list[np.ndarray]:
    """logits: (1, G, V) -> probabilities of each code."""
    return list(logits[0].double().softmax(-1).numpy())


def _checksum(episodes: Sequence[Play]) -> int:
    value = 0
    for frames, executed in episodes:
        value = zlib.crc32(frames.contiguous().numpy().tobytes(), value)
        value = zlib.crc32(executed.contiguous().numpy().tobytes(), value)
    return value
