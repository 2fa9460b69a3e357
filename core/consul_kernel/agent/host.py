"""The host that the agent runs on: `/v1/agent/host`, with the names that Consul has from gopsutil.

What the system does not tell stands as 0 or "".
"""

from __future__ import annotations

import os
import platform
import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

_MEMINFO = Path("/proc/meminfo")
_CPUINFO = Path("/proc/cpuinfo")
_MACHINE_ID = Path("/etc/machine-id")
_KIB = 1024

_MEMORY_KEYS = {
    "wired": "",
    "laundry": "",
    "buffers": "Buffers",
    "cached": "Cached",
    "writeBack": "Writeback",
    "dirty": "Dirty",
    "writeBackTmp": "WritebackTmp",
    "shared": "Shmem",
    "slab": "Slab",
    "sreclaimable": "SReclaimable",
    "sunreclaim": "SUnreclaim",
    "pageTables": "PageTables",
    "swapCached": "SwapCached",
    "commitLimit": "CommitLimit",
    "committedAS": "Committed_AS",
    "highTotal": "HighTotal",
    "highFree": "HighFree",
    "lowTotal": "LowTotal",
    "lowFree": "LowFree",
    "swapTotal": "SwapTotal",
    "swapFree": "SwapFree",
    "mapped": "Mapped",
    "vmallocTotal": "VmallocTotal",
    "vmallocUsed": "VmallocUsed",
    "vmallocChunk": "VmallocChunk",
    "hugePagesTotal": "HugePages_Total",
    "hugePagesFree": "HugePages_Free",
    "hugePageSize": "Hugepagesize",
}


def describe_host() -> Mapping[str, Any]:
    """A document of JSON values. It asks the system, which may take some milliseconds."""
    errors: list[str] = []

    def attempt(part: Callable[[], Any]) -> Any:
        try:
            return part()
        except (OSError, ValueError, RuntimeError) as error:
            errors.append(str(error))
            return None

    return {
        "Memory": attempt(_memory),
        "CPU": attempt(_processors),
        "Host": attempt(_host),
        "Disk": attempt(_disk),
        "CollectionTime": time.time_ns(),
        "Errors": errors or None,
    }


def _memory() -> dict[str, Any]:
    import psutil

    seen = psutil.virtual_memory()
    told = _meminfo()
    used = seen.total - seen.free - told.get("Buffers", 0) - told.get("Cached", 0)
    return {
        "total": seen.total,
        "available": seen.available,
        "used": max(0, used),
        "usedPercent": 100 * max(0, used) / seen.total if seen.total else 0,
        "free": seen.free,
        "active": told.get("Active", 0),
        "inactive": told.get("Inactive", 0),
        **{name: told.get(key, 0) for name, key in _MEMORY_KEYS.items()},
    }


def _meminfo() -> dict[str, int]:
    """Linux's figures in bytes; numbers of pages as they are."""
    if not _MEMINFO.exists():
        return {}
    found = {}
    for line in _MEMINFO.read_text(encoding="ascii", errors="replace").splitlines():
        key, _, rest = line.partition(":")
        number, _, unit = rest.strip().partition(" ")
        if number.isdigit():
            found[key] = int(number) * (_KIB if unit == "kB" else 1)
    return found


def _processors() -> list[dict[str, Any]]:
    """One entry for each, as Linux tells of them; elsewhere how many there are."""
    if not _CPUINFO.exists():
        return [_processor({"processor": str(number)}) for number in range(os.cpu_count() or 1)]
    blocks = _CPUINFO.read_text(encoding="utf-8", errors="replace").split("\n\n")
    told = (
        {k.strip(): v.strip() for k, _, v in (line.partition(":") for line in block.splitlines())} for block in blocks
    )
    return [_processor(entry) for entry in told if "processor" in entry]


def _processor(told: Mapping[str, str]) -> dict[str, Any]:
    return {
        "cpu": _number(told.get("processor", "")),
        "vendorId": told.get("vendor_id", ""),
        "family": told.get("cpu family", ""),
        "model": told.get("model", ""),
        "stepping": _number(told.get("stepping", "")),
        "physicalId": told.get("physical id", ""),
        "coreId": told.get("core id", ""),
        "cores": 1,
        "modelName": told.get("model name", ""),
        "mhz": _decimal(told.get("cpu MHz", "")),
        "cacheSize": _number(told.get("cache size", "").partition(" ")[0]),
        "flags": told.get("flags", "").split(),
        "microcode": told.get("microcode", ""),
    }


def _number(text: str) -> int:
    return int(text) if text.isdigit() else 0


def _decimal(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def _host() -> dict[str, Any]:
    import psutil

    release = platform.freedesktop_os_release() if hasattr(platform, "freedesktop_os_release") and _is_linux() else {}
    boot_s = int(psutil.boot_time())
    machine_id = _MACHINE_ID.read_text(encoding="ascii").strip() if _MACHINE_ID.exists() else ""
    return {
        "hostname": socket.gethostname(),
        "uptime": max(0, int(time.time()) - boot_s),
        "bootTime": boot_s,
        "procs": len(psutil.pids()),
        "os": platform.system().lower(),
        "platform": release.get("ID", platform.system().lower()),
        "platformFamily": release.get("ID_LIKE", release.get("ID", "")),
        "platformVersion": release.get("VERSION_ID", platform.version()),
        "kernelVersion": platform.release(),
        "kernelArch": platform.machine(),
        "virtualizationSystem": "",
        "virtualizationRole": "",
        "hostid": machine_id,
    }


def _is_linux() -> bool:
    return platform.system() == "Linux"


def _disk() -> dict[str, Any]:
    import psutil

    usage, stat = psutil.disk_usage("/"), os.statvfs("/")
    kind = next((part.fstype for part in psutil.disk_partitions(all=True) if part.mountpoint == "/"), "")
    inodes_used = stat.f_files - stat.f_ffree
    return {
        "path": "/",
        "fstype": kind,
        "total": usage.total,
        "free": usage.free,
        "used": usage.used,
        "usedPercent": usage.percent,
        "inodesTotal": stat.f_files,
        "inodesUsed": inodes_used,
        "inodesFree": stat.f_ffree,
        "inodesUsedPercent": 100 * inodes_used / stat.f_files if stat.f_files else 0,
    }
