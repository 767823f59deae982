"""Pieces of arrays: what has a checksum of its own is read, checked and, of objects, kept near."""

from __future__ import annotations

import numpy as np
from zarr.buffer.cpu import NDBuffer

from sagsae.activations.arrays import crc32c, is_plain, open_array
from sagsae.activations.layout import DATA, StoreConfig
from sagsae.storage import SizeError, Storage, StorageError
from sagsae.storage.node_cache import NodeCache

_CRC32C_BYTES = 4


class MissingError(ValueError):
    """There is no such file."""


class PieceReader:
    """Reads the pieces of one array that have a checksum of their own: R rows, of tokens S rows.

    A plain file, see `is_plain`, is read straight into the caller's memory, and its checksum is
    computed once. That is several times as fast as through Zarr, which hands each chunk from thread
    to thread and copies it twice. Zarr reads everything else.

    Args:
        storage: of the store.
        config: of the store.
        name: of the array.
        cache: of this node, for stores of objects.
    """

    def __init__(
        self, storage: Storage, config: StoreConfig, name: str, cache: NodeCache | None = None
    ) -> None:
        self._storage, self._config, self.name, self._cache = storage, config, name, cache
        self._array = open_array(storage, config, name)
        self._plain = is_plain(config, name)

    def file(self, block: int, piece: int) -> str:
        """The file of piece `piece` of a block, relative to the store."""
        return f"{DATA}/{self.name}/{self.file_name(block, piece)}"

    def file_name(self, block: int, piece: int) -> str:
        """The same file, relative to the array."""
        files = self._config.block_files(self.name, block)
        return files[piece if len(files) > 1 else 0]

    def rows(self, block: int, piece: int) -> slice:
        """The rows of the array that the piece holds."""
        size = self._config.piece_rows(self.name)
        first = block * self._config.rows_per_block + piece * size
        return slice(first, first + size)

    def read(
        self, block: int, piece: int, expected: str, size: int, out: np.ndarray | None = None
    ) -> np.ndarray:
        """The piece as it is stored, after a check of its content and of its file's size.

        Args:
            block: index of a block.
            piece: which of its pieces.
            expected: the checksum in the block's commit.
            size: bytes of its file in the block's commit.
            out: contiguous memory of the piece's shape and dtype; a new array without it.

        Raises:
            ValueError: the piece is missing, torn or altered.
            StorageError: its place cannot be reached.
        """
        if out is None:
            shape = (self._config.piece_rows(self.name), *self._array.shape[1:])
            out = np.empty(shape, self._array.dtype)
        if self._cache is None:
            return self._fetch(block, piece, expected, size, out)
        memory = out.data.cast("B")
        key = f"{self._config.digest()[:16]}/{self.name}/{block}.{piece}"
        if self._cache.read(key, memory, expected):
            return out
        with self._cache.alone(key):
            if not self._cache.read(key, memory, expected):
                self._fetch(block, piece, expected, size, out)
                self._cache.keep(key, memory, expected)
        return out

    def _fetch(
        self, block: int, piece: int, expected: str, size: int, out: np.ndarray
    ) -> np.ndarray:
        file = self.file(block, piece)
        try:
            if self._plain:
                found = self._read_plain(file, size, out)
            else:
                found = self._decode(file, block, piece, size, out)
        except (SizeError, StorageError):
            raise
        except FileNotFoundError:
            raise MissingError("is missing") from None
        except Exception as error:  # codecs raise many kinds; each means an unusable chunk
            if failure := self._storage.failure(error):
                raise failure from None
            raise ValueError(f"cannot be read ({error})") from error
        if found != expected:
            raise ValueError(f"does not hold what was committed (crc32c {found}, not {expected})")
        return out

    def _decode(self, file: str, block: int, piece: int, size: int, out: np.ndarray) -> str:
        if not self._storage.remote and (actual := self._storage.size(file)) != size:
            raise SizeError(actual, size)  # a decoder may not read what is too much
        buffer = NDBuffer.from_numpy_array(out)
        self._array.get_basic_selection(self.rows(block, piece), out=buffer)
        return crc32c(out)

    def _read_plain(self, file: str, size: int, out: np.ndarray) -> str:
        """Fill `out` from an uncompressed chunk's file and return the checksum."""
        trailer = bytearray(_CRC32C_BYTES)
        if size != out.nbytes + _CRC32C_BYTES:
            raise ValueError(f"the file does not have {out.nbytes + _CRC32C_BYTES} bytes")
        self._storage.fetch(file, size, out.data.cast("B"), memoryview(trailer))
        checksum = crc32c(out)
        if trailer != bytes.fromhex(checksum)[::-1]:
            raise ValueError(f"crc32c of its content is {checksum}, not {trailer[::-1].hex()}")
        return checksum
