"""A decision: which kernel, how many splits, how much workspace."""

from __future__ import annotations

from typing import Any

from flashdec import _abi
from flashdec._enums import Backend
from flashdec.args import Args, PointerArgs
from flashdec.descriptor import Descriptor
from flashdec.errors import InvalidArgumentError
from flashdec.facts import PlanInfo, Support
from flashdec.preference import PlanPreference
from flashdec.sku import KernelSku
from flashdec.stream import stream_address, stream_pointer
from flashdec.workspace import Workspace

__all__ = ["Plan"]


def _check_type(name: str, value: Any, wanted: type) -> None:
    if not isinstance(value, wanted):
        raise InvalidArgumentError(
            f"{name} is of type {type(value).__name__}; it must be a {wanted.__name__}"
        )


class Plan:
    """A kernel, splits and a workspace size, chosen for a `Descriptor` once.

    Immutable; threads may share it if each run has its own workspace.  Make one with `select`.
    """

    __slots__ = (
        "__weakref__",
        "_address",
        "_on_cpu",
        "_plan",
        "backend",
        "descriptor",
        "device",
        "info",
        "preference",
        "sku",
        "workspace_size",
    )

    backend: Backend
    descriptor: Descriptor
    preference: PlanPreference
    device: str
    info: PlanInfo
    sku: KernelSku
    workspace_size: int
    _plan: Any
    _address: int
    _on_cpu: bool

    def __init__(self) -> None:
        raise TypeError("make a Plan with Plan.select(descriptor)")

    @classmethod
    def select(
        cls,
        desc: Descriptor,
        preference: PlanPreference | None = None,
        stream: Any = None,
    ) -> Plan:
        """Validate a problem, pick a kernel and fix the splits and the workspace size.

        Parameters
        ----------
        desc : Descriptor
            The problem.
        preference : PlanPreference, optional
            What may be chosen.
        stream : stream object or int, optional
            CUDA: fixes the device; None is the current device's.

        Raises
        ------
        InvalidArgumentError
            If a field is out of its range, or an argument of another type.
        UnsupportedError
            If no kernel does it, or none within the preference.
        DeviceError
            If a GPU is asked for and none is usable.
        """
        wishes = preference if preference is not None else PlanPreference()
        _check_type("desc", desc, Descriptor)
        _check_type("preference", wishes, PlanPreference)
        c_desc, c_preference, plan = desc.to_c(), wishes.to_c(), _abi.CPlan()
        handle = None if stream is None else stream_pointer(stream)
        _abi.check(
            _abi.select(
                _abi.address(c_desc), _abi.address(c_preference), handle, _abi.address(plan)
            )
        )
        return cls._wrap(plan, desc, wishes)

    @classmethod
    def _wrap(cls, plan: Any, desc: Descriptor, preference: PlanPreference) -> Plan:
        facts = _abi.sized(_abi.CPlanFacts)
        sku = _abi.sized(_abi.CKernelSku)
        _abi.check(_abi.plan_info(_abi.address(plan), _abi.address(facts)))
        _abi.check(_abi.sku(_abi.address(plan), _abi.address(sku)))
        values = {
            "_plan": plan,
            "_address": _abi.address(plan),
            "descriptor": desc,
            "preference": preference,
            "backend": Backend(facts.backend),
            "_on_cpu": facts.device < 0,
            "device": "cpu" if facts.device < 0 else f"cuda:{facts.device}",
            "info": PlanInfo(
                kernel=facts.kernel,
                num_threads=facts.num_threads,
                launches=facts.launches,
                max_splits=facts.max_splits,
                split_len=facts.split_len,
                tile=facts.tile,
            ),
            "sku": KernelSku.from_c(sku),
            "workspace_size": facts.workspace_bytes,
        }
        self = object.__new__(cls)
        for name, value in values.items():
            object.__setattr__(self, name, value)
        return self

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"a Plan is immutable; {name} cannot be set")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"a Plan is immutable; {name} cannot be deleted")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Plan) and bytes(self) == bytes(other)

    def __hash__(self) -> int:
        return hash(bytes(self))

    def __bytes__(self) -> bytes:
        """Return the 1,024 bytes of the C plan."""
        return bytes(self._plan)

    def __repr__(self) -> str:
        return (
            f"Plan({self.sku.name}, device={self.device!r}, max_splits={self.info.max_splits}, "
            f"split_len={self.info.split_len}, workspace_size={self.workspace_size})"
        )

    def __copy__(self) -> Plan:
        return self

    def __deepcopy__(self, memo: Any) -> Plan:
        return self

    def can_implement(self, args: Args | PointerArgs) -> Support:
        """Return whether `run` would accept these arguments, and if not, why.

        Parameters
        ----------
        args : Args or PointerArgs
            The arguments; none of the arrays is read or written.
        """
        status, struct = args.bind(self._address)
        if status or _abi.can_implement(self._address, _abi.address(struct)):
            return Support(False, _abi.last_error().decode("utf-8", "replace"))
        return Support(True)

    def bind(self, args: Args) -> PointerArgs:
        """Read and check the arrays now, for runs that do not read them again.

        To read six tensors takes a run 0.5 µs and more.  The arrays are kept alive, but must stay
        where they are: a tensor that is resized in place, or given other memory, is bound again.

        Parameters
        ----------
        args : Args
            The arguments; unchanged.

        Returns
        -------
        PointerArgs
            The same for `run`.

        Raises
        ------
        InvalidArgumentError, DeviceError
            As `run`.
        """
        _check_type("args", args, Args)
        status, struct = args.bind(self._address)
        _abi.check(status or _abi.can_implement(self._address, _abi.address(struct)))
        return args._fix(struct)

    def run(
        self,
        args: Args | PointerArgs,
        workspace: Workspace | None = None,
        stream: Any = None,
    ) -> None:
        """Compute; on a GPU enqueue the computation.

        Parameters
        ----------
        args : Args or PointerArgs
            Where the arrays are.
        workspace : Workspace, optional
            Required where `workspace_size` is not 0; unused by others until the work is done.
        stream : stream object or int, optional
            CUDA: the stream; None is the current stream of q's library.

        Raises
        ------
        InvalidArgumentError
            If an argument is not what the plan takes; nothing has been written then.
        DeviceError
            If an array or the stream is of another device, or CUDA reports an error.
        """
        # The arguments remember what they ran with: most runs change none of it.
        call = args._call
        if call.plan is not self or call.workspace is not workspace:
            self._check_workspace(workspace)
            call.use(self, workspace)
        if stream is not call.stream:
            call.use_stream(stream, self._stream_for(call.asked, stream))
        status = call.run()
        if status:
            _abi.check(status)

    def _check_workspace(self, workspace: Any) -> None:
        if workspace is None:
            return
        if not isinstance(workspace, Workspace):
            raise InvalidArgumentError(
                f"workspace is of type {type(workspace).__name__}; "
                "Workspace.from_array makes one of an array"
            )
        if workspace.device != self.device:
            raise InvalidArgumentError(
                f"workspace is on {workspace.device}; the plan runs on {self.device}"
            )

    def _stream_for(self, library: str, stream: Any) -> int:
        """Return a stream by its address; None is the current one of the library, 0 if it has none.

        0 is left to C: it asks the library of q.
        """
        if stream is None and not library:
            return 0
        return stream_address(stream, self.device, library)
