"""What each cipher costs per message: sealing, and opening with the first and with the last of three keys.

    python tests/benchmarks/bench_ciphers.py

Ciphers take turns, and each figure is the best of several rounds, so that a busy machine disturbs all alike.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from consul_kernel.contracts.cipher import Cipher
from consul_kernel_aes_gcm.cipher import AesGcmCipher
from consul_kernel_nacl.cipher import NaclCipher

KEYS = tuple(bytes([number]) * 32 for number in (1, 2, 3))
MAKERS: dict[str, Callable[[], Cipher]] = {"nacl": lambda: NaclCipher(KEYS), "aes-gcm": lambda: AesGcmCipher(KEYS)}
SIZES = {"ping, 60 bytes": 60, "full packet, 1,400 bytes": 1400, "push/pull, 100,000 bytes": 100_000}
ROUNDS = 7
ROUND_S = 0.1


def microseconds(action: Callable[[], object]) -> float:
    """The time of one call, over as many as fit into a round."""
    count, start = 0, time.perf_counter()
    while (took := time.perf_counter() - start) < ROUND_S:
        for _ in range(20):
            action()
        count += 20
    return took / count * 1e6


def actions(cipher: Cipher, size: int, associated: bytes) -> dict[str, Callable[[], object]]:
    """What is measured of one cipher."""
    plain = bytes(size)
    first = cipher.seal(plain, associated)
    cipher.use(KEYS[2])
    last = cipher.seal(plain, associated)
    cipher.use(KEYS[1])
    cipher.use(KEYS[0])
    return {
        "seal": lambda: cipher.seal(plain, associated),
        "open": lambda: cipher.open(first, associated),
        "open, third key": lambda: cipher.open(last, associated),
    }


def main() -> None:
    """Print one line per size, kind of associated data and cipher."""
    for what, size in SIZES.items():
        for associated in (b"", b"\x0a\x00\x00\x05\x00label"):
            cases = {name: actions(make(), size, associated) for name, make in MAKERS.items()}
            best: dict[tuple[str, str], float] = {}
            for _ in range(ROUNDS):
                for name, case in cases.items():
                    for verb, action in case.items():
                        best[name, verb] = min(microseconds(action), best.get((name, verb), float("inf")))
            for name, case in cases.items():
                figures = "  ".join(f"{verb} {best[name, verb]:7.1f} µs" for verb in case)
                bound = "with associated data" if associated else "plain"
                both = best[name, "seal"] + best[name, "open"]
                sys.stdout.write(f"{what:26} {bound:21} {name:8} {figures}  seal+open {both:7.1f} µs\n")


if __name__ == "__main__":
    main()
