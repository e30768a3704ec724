"""What the pixels of one untrusted file may ask for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """What the pixels of one file may ask for. All are engineering choices.

    Attributes:
        ratio: Bytes of pixels that a compressed file may declare for each of its own bytes; more is
            taken for an attack. A blank CT slice, with its header, reaches about 400.
        ratio_free_bytes: Below this a file's ratio does not matter: a blank image is no attack.
        frame_bytes: Bytes of one decoded frame (8192 x 8192 pixels of 32 bits).
        frames: Frames of one file.
        inflated_bytes: Bytes that a deflated file may grow to.
        memory_bytes: Memory that a child may take beyond its libraries and 16 bytes for each pixel
            of its largest frame.
        seconds: Time for one frame, beside ``seconds_per_megapixel``; JPEG 2000 takes 0.15 s a
            megapixel on an idle core.
        seconds_per_megapixel: Additional time for large frames.
        start_seconds: Time for a child to start.
    """

    ratio: float = 1000.0
    ratio_free_bytes: int = 16 * 2**20
    frame_bytes: int = 256 * 2**20
    frames: int = 8192
    inflated_bytes: int = 512 * 2**20
    memory_bytes: int = 256 * 2**20
    seconds: float = 20.0
    seconds_per_megapixel: float = 2.0
    start_seconds: float = 60.0

    def excess(self, frame_bytes: int, frames: int, file_bytes: int | None) -> str | None:
        """Why a file is refused before anything is decoded; None when it is not.

        Args:
            frame_bytes: Bytes of a frame as the header declares it.
            frames: Frames that the header declares.
            file_bytes: Size of a compressed file; None for an uncompressed one.
        """
        if frame_bytes > self.frame_bytes:
            return f"declares {frame_bytes} bytes a frame"
        if frames > self.frames:
            return f"declares {frames} frames"
        declared = frame_bytes * frames
        if file_bytes is None or declared <= self.ratio_free_bytes:
            return None
        if declared > self.ratio * file_bytes:
            return f"declares {declared} bytes of pixels in a file of {file_bytes}"
        return None
