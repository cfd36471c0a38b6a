"""A generator as an entropy coder: images become a file whose length is the generator's own bound, and come back.

Numbers of a VAE are coded bits back: Townsend et al. 2019, "Practical lossless compression with latent variables using
bits back coding". The number is one of 2^`PRIOR_BITS` intervals of equal prior probability; which one is drawn from the
posterior with bits of the images coded before, and these come back when the image is decoded. The first images have no
such bits and take the interval of the posterior's mean.

Both sides compute the same probabilities only with the same arithmetic: the same build of torch on the same kind of
processor. A checksum tells when they did not.
"""

from __future__ import annotations

import math
import struct
import zlib
from bisect import bisect_right
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.compression.ans import Stack
from rl_gen_lab.data.records import DataError
from rl_gen_lab.generators.densities import Factorised
from rl_gen_lab.generators.interfaces import Generator
from rl_gen_lab.generators.likelihoods import PaletteLikelihood
from rl_gen_lab.generators.pixel_coding import PRECISION, Coder, Reader, Writer, code_pixels
from rl_gen_lab.generators.vae import VariationalAutoencoder
from rl_gen_lab.generators.vq_vae import QuantizedAutoencoder

PRIOR_BITS = 14  # of the interval of a VAE's number
MAGIC = b"RLGF\x01"
# magic and version, weights, images, how many of them without bits back, height, width, checksum of the pixels
HEADER = struct.Struct("<5s6sIHHHI")


class FrameCodec:
    """Images to bytes and back, by a generator in evaluation mode, on the CPU."""

    def __init__(self, model: Generator, digest: str, size: tuple[int, int]) -> None:
        """digest: of the model's weights, 12 hex digits; size: (H, W) of the images.

        Raises: ConfigError for generators that cannot code.
        """
        if not isinstance(model.likelihood, PaletteLikelihood):
            raise ConfigError("only generators with --generate.likelihood palette code pixels exactly")
        if not isinstance(model, Factorised | QuantizedAutoencoder | VariationalAutoencoder):
            raise ConfigError("an autoencoder has no distribution over codes: use vae, vq-vae or factorised")
        self.model, self.digest, self.size = model, bytes.fromhex(digest), size
        self.palette, self.likelihood = model.likelihood.palette, model.likelihood
        count = 1 << PRIOR_BITS
        shares = torch.arange(1, 2 * count, dtype=torch.float64) / (2 * count)
        quantiles = torch.special.ndtri(shares)
        self.middles, self.edges = quantiles[::2].float(), [-math.inf, *quantiles[1::2].tolist(), math.inf]

    @torch.no_grad()
    def encode(self, images: Tensor, on_image: Callable[[int], None] = lambda done: None) -> bytes:
        """images: (N, 3, H, W) uint8 RGB; colors that the palette does not have cost 24 bits more."""
        checksum = zlib.crc32(images.contiguous().numpy().data)
        stack, plain = Stack(), 0
        while True:
            try:
                for done in range(len(images)):  # the last first: it is decoded last
                    image = images[len(images) - done - 1][None].contiguous()
                    self._push(stack, image, bits_back=done >= plain)
                    on_image(done + 1)
                break
            except ValueError:  # too few bits to draw a code with
                stack, plain = Stack(), plain + 1
        header = HEADER.pack(MAGIC, self.digest, len(images), plain, *self.size, checksum)
        return header + stack.to_bytes()

    @torch.no_grad()
    def decode(self, data: bytes, on_image: Callable[[int], None] = lambda done: None) -> Tensor:
        """Return the images, (N, 3, H, W) uint8 RGB. Raises: DataError for a file of another run, or damaged."""
        count, plain, checksum = self._read_header(data)
        decoded: list[Tensor] = []  # not allocated before: the number may be damaged
        try:
            stack = Stack(data[HEADER.size :])
            for number in range(count):
                decoded.append(self._pop(stack, bits_back=number < count - plain))
                on_image(number + 1)
        except ValueError as error:
            raise DataError(f"the file cannot be decoded: {error}") from error
        images = torch.stack(decoded) if decoded else torch.zeros(0, 3, *self.size, dtype=torch.uint8)
        if zlib.crc32(images.numpy().data) != checksum:
            raise DataError(
                "the file cannot be decoded: it is damaged, or it was encoded by another build of torch or processor"
            )
        return images

    def count(self, data: bytes) -> int:
        """Return the number of images in a file. Raises: DataError."""
        return self._read_header(data)[0]

    def _read_header(self, data: bytes) -> tuple[int, int, int]:
        """Return the number of images, how many are without bits back, and their checksum. Raises: DataError."""
        if len(data) < HEADER.size or data[: len(MAGIC) - 1] != MAGIC[:-1]:
            raise DataError("this is no file of encoded images, or it was cut short")
        magic, digest, count, plain, height, width, checksum = HEADER.unpack_from(data)
        if magic != MAGIC:
            raise DataError("the file was written by another version of this program")
        if digest != self.digest or (height, width) != self.size:
            raise DataError("the file was encoded with another run")
        return count, plain, checksum

    def _push(self, stack: Stack, image: Tensor, bits_back: bool) -> None:
        """Add an image (1, 3, H, W)."""
        writer = Writer()
        if isinstance(self.model, VariationalAutoencoder):
            posterior = self._posterior(image)
            places = [stack.pop(PRECISION, find) if bits_back else find.nearest() for find in posterior]
            self._code_image(writer, self.middles[places][None], image)
            writer.push(stack)
            for place in reversed(places):
                stack.push_uniform(place, PRIOR_BITS)
            return
        code = self.model.encode(image)
        if isinstance(self.model, QuantizedAutoencoder):
            for position, token in zip(self._token_shares(), code[0].tolist(), strict=True):
                writer.one_of(position, token)
        self._code_image(writer, code, image)
        writer.push(stack)

    def _pop(self, stack: Stack, bits_back: bool) -> Tensor:
        """Take an image (3, H, W)."""
        reader = Reader(stack)
        places: list[int] = []
        if isinstance(self.model, VariationalAutoencoder):
            places = [stack.pop_uniform(PRIOR_BITS) for _ in range(self.model.config.latents)]
            code = self.middles[places][None]
        elif isinstance(self.model, QuantizedAutoencoder):
            code = torch.tensor([[reader.one_of(position, None) for position in self._token_shares()]])
        else:
            code = torch.zeros(1, 0)
        image = self._code_image(reader, code, None)
        if places and bits_back:
            for place, find in reversed(list(zip(places, self._posterior(image), strict=True))):
                start = find.edge(place)
                stack.push(start, find.edge(place + 1) - start, PRECISION)
        return image[0]

    def _code_image(self, coder: Coder, code: Tensor, image: Tensor | None) -> Tensor:
        """Code the pixels of an image (1, 3, H, W), None to read, given its code; return the image."""
        logits = (self.model.decode(code) + self.likelihood.background)[0].double().flatten(1)
        known = None if image is None else self.palette.index(image).flatten().numpy()
        numbers = code_pixels(coder, logits.log_softmax(0).numpy(), known)
        # contiguous: laid out otherwise, the same image gives other roundings
        result = self.palette.paint(torch.from_numpy(numbers).view(1, *self.size)).contiguous()
        source = result if image is None else image
        for place in np.flatnonzero(numbers == len(self.palette)).tolist():
            row, column = divmod(place, self.size[1])
            red, green, blue = source[0, :, row, column].tolist()
            color = coder.plain(24, red << 16 | green << 8 | blue)
            result[0, :, row, column] = torch.tensor([color >> 16, color >> 8 & 255, color & 255], dtype=torch.uint8)
        return result

    def _token_shares(self) -> Iterator[np.ndarray]:
        assert isinstance(self.model, QuantizedAutoencoder)
        yield from self.model.token_shares().double().numpy()

    def _posterior(self, image: Tensor) -> list[PosteriorFinder]:
        """Return what finds the interval of each number in its posterior."""
        assert isinstance(self.model, VariationalAutoencoder)
        mean, log_variance = self.model.posterior(image)
        spread = (0.5 * log_variance[0].double()).exp().tolist()
        return [PosteriorFinder(self.edges, m, s) for m, s in zip(mean[0].double().tolist(), spread, strict=True)]


class PosteriorFinder:
    """The intervals of a number of a code, as wide as its posterior makes them likely, and never empty."""

    def __init__(self, edges: list[float], mean: float, spread: float) -> None:
        """edges: of the intervals of equal prior probability, ascending, the infinite ones included."""
        self.edges, self.mean, self.spread = edges, mean, spread
        self.free = (1 << PRECISION) - len(edges) + 1

    def edge(self, number: int) -> int:
        """Return where an interval begins, in 2^-`PRECISION`."""
        z = (self.edges[number] - self.mean) / self.spread
        return number + int(self.free * 0.5 * math.erfc(-z / math.sqrt(2)))

    def nearest(self) -> int:
        """Return the interval that holds the mean."""
        return min(max(bisect_right(self.edges, self.mean) - 1, 0), len(self.edges) - 2)

    def __call__(self, place: int) -> tuple[int, int, int]:
        """As the argument of `Stack.pop`."""
        number = bisect_right(range(len(self.edges)), place, key=self.edge) - 1
        start = self.edge(number)
        return number, start, self.edge(number + 1) - start
