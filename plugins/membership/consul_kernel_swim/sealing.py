"""The outermost layers, for packets and for messages over streams: the cipher and the label."""

from __future__ import annotations

from typing import Final

from consul_kernel.contracts.cipher import Cipher
from consul_kernel.contracts.errors import CipherError, PeerProtocolError
from consul_kernel.contracts.membership import MembershipContext

from .core.messages import MessageType

ENCRYPT: Final = bytes((MessageType.ENCRYPT,))
LABEL: Final = bytes((MessageType.HAS_LABEL,))

UNEXPECTED_LABEL: Final = "a packet with a label, where none is configured"
NOT_SEALED: Final = "Encryption is configured but remote state is not encrypted"
NO_CIPHER: Final = "Remote state is encrypted and encryption is not configured"


def make_sealing(context: MembershipContext, label: str) -> Sealing:
    """The layers that a pool is configured with."""
    return Sealing(
        context.cipher,
        label.encode(),
        verify_incoming=context.verify_incoming,
        verify_outgoing=context.verify_outgoing,
    )


class Sealing:
    """Seals what goes out and opens what comes in.

    `label` (at most 255 bytes, often empty) goes before everything and is authenticated by the cipher. With a cipher,
    plain bytes are refused and none are sent, except while encryption is being introduced: without
    `verify_incoming`, what no key opens is taken as plain; without `verify_outgoing`, nothing is sealed.
    """

    def __init__(
        self,
        cipher: Cipher | None,
        label: bytes = b"",
        *,
        verify_incoming: bool = True,
        verify_outgoing: bool = True,
    ) -> None:
        if len(label) > 255:
            raise ValueError("a label has at most 255 bytes")
        self.label = label
        self.header = LABEL + bytes((len(label),)) + label if label else b""
        self._opens = cipher
        self._seals = cipher if verify_outgoing else None
        self._is_strict = verify_incoming
        self.unsealed_taken = 0
        """How much came plain and was taken although there are keys: 0 for long means that all others seal."""

    @property
    def overhead_bytes(self) -> int:
        """How much longer a packet may become; the same whether it is sealed already or not, as in memberlist."""
        return len(self.header) + (0 if self._opens is None else self._opens.overhead)

    # --- packets ---

    def seal_packet(self, packet: bytes) -> bytes:
        """A packet as it goes over the network."""
        if self._seals is not None:
            packet = self._seals.seal(packet, self.label)
        return self.header + packet

    def open_packet(self, packet: bytes) -> bytes:
        """The plain packet. Raises PeerProtocolError or CipherError."""
        if self.header:
            if not packet.startswith(self.header):
                raise PeerProtocolError("a packet without this pool's label")
            packet = packet[len(self.header) :]
        if self._opens is not None:
            try:
                return self._opens.open(packet, self.label)
            except CipherError:
                self._check_label(packet)
                if self._is_strict:
                    raise
                self.unsealed_taken += 1
                return packet
        self._check_label(packet)
        return packet

    def _check_label(self, packet: bytes) -> None:
        """Only what is not sealed is looked at: a sealed packet may begin with the byte of a label by chance."""
        if not self.header and packet[:1] == LABEL:
            raise PeerProtocolError(UNEXPECTED_LABEL)

    # --- streams ---

    def seal_stream(self, message: bytes, *, dialling: bool) -> bytes:
        """A message as it goes over a stream; only the side that dials writes the label."""
        if self._seals is not None:
            message = self._frame(self._seals, message)
        return self.header + message if dialling else message

    def _frame(self, cipher: Cipher, message: bytes) -> bytes:
        """The length is authenticated, so it must be known before sealing; a cipher that pads needs a second try."""
        length = len(message) + cipher.overhead
        for _ in range(3):
            head = ENCRYPT + length.to_bytes(4, "big")
            sealed = cipher.seal(message, head + self.label)
            if len(sealed) == length:
                return head + sealed
            length = len(sealed)
        raise CipherError("the cipher's overhead is not constant for one message")

    def open_message(self, sealed: bytes) -> bytes:
        """The plain message of a frame: what follows its type byte and its length. Raises CipherError."""
        if self._opens is None:
            raise PeerProtocolError(NO_CIPHER)
        return self._opens.open(sealed, ENCRYPT + len(sealed).to_bytes(4, "big") + self.label)

    def take_frame(self) -> None:
        """A sealed message begins. Raises PeerProtocolError where it could not be opened anyway."""
        if self._opens is None:
            raise PeerProtocolError(NO_CIPHER)

    def take_plain(self) -> None:
        """A plain message begins. Raises PeerProtocolError where only sealed ones are taken."""
        if self._opens is not None:
            if self._is_strict:
                raise PeerProtocolError(NOT_SEALED)
            self.unsealed_taken += 1
