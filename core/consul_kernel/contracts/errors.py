"""Errors that cross a contract. The name says whose fault it is."""


class ConsulKernelError(Exception):
    """Root of every error that the kernel or a plugin raises on purpose."""


class PluginLoadError(ConsulKernelError):
    """A plugin that the configuration names cannot be used; the text names distribution, version and cause."""


class PluginStartError(ConsulKernelError):
    """A part could not start for a reason the operator can mend (a port in use, a missing folder)."""


class TransportError(ConsulKernelError, OSError):
    """A peer could not be reached, or the connection to it broke."""


class StreamClosedError(TransportError, EOFError):
    """The peer closed the stream before the bytes that were asked for had arrived."""


class PeerProtocolError(ConsulKernelError):
    """A peer sent what its protocol does not allow. Counted and dropped, never fatal."""


class CipherError(ConsulKernelError):
    """Sealed bytes that no key of the ring opens, or a keyring operation that is refused."""


class StoreError(ConsulKernelError):
    """The store cannot do what was asked (disk full, I/O error, closed)."""


class StoreFullError(StoreError):
    """There is no room for what was asked: nothing has changed, and it may be asked again once there is."""


class CorruptStoreError(StoreError):
    """Stored bytes are damaged where no crash can explain it; the text names file, offset and remedy."""


class ConsensusError(ConsulKernelError):
    """Root of what a proposal, a barrier or a configuration change may fail with."""


class NotLeaderError(ConsensusError):
    """This server is not the leader; nothing was proposed."""


class LeadershipLostError(ConsensusError):
    """Leadership was lost after proposing: the command may or may not be committed later."""


class ProposalTimeoutError(ConsensusError):
    """No answer within the time allowed: the command may or may not be committed later."""


class ProposalOverloadError(ConsensusError):
    """The queue of proposals is full, or the disk: nothing was proposed."""


class MembershipError(ConsulKernelError):
    """A membership operation failed (nobody answered a join, an event too large, …)."""


class RpcError(ConsulKernelError):
    """An endpoint refused a call. The text is what Consul's endpoint answers."""


class RequestError(ConsulKernelError):
    """What was asked is wrong in itself; the text is Consul's."""


class NotFoundError(RequestError):
    """What was asked about does not exist; the text is Consul's."""


class AgentError(ConsulKernelError):
    """The agent cannot do what was asked, though the request itself is well formed; the text is Consul's."""
