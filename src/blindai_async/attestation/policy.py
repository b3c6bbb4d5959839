"""What the user demands of an enclave or trust domain: the policy, and its file format."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

from pydantic import BaseModel, ConfigDict, Field, SerializeAsAny, StrictBool, ValidationError

from blindai_async._base_errors import PolicyFormatError
from blindai_async.attestation.policy_fields import (
    DEFAULT_TCB_STATUSES,
    U32,
    Advisories,
    Days,
    EntryName,
    Ppids,
    TcbStatuses,
    toml_list,
)
from blindai_async.attestation.tee import Tee

if TYPE_CHECKING:
    import os

    from blindai_async.attestation.claims import Claims

__all__ = ["MAX_POLICY_BYTES", "AnyOfPolicy", "Policy", "PolicyEntry"]

MAX_POLICY_BYTES: Final = 64 * 1024
"""The longest policy file that is read; real ones have under 2 KB."""
MAX_ENTRIES: Final = 64
"""How many ``[[enclave]]`` tables a policy may have."""

_TABLES: Final = "enclave"
_DEFAULT_KIND: Final = "sgx"
_KINDS: Final[dict[object, type[PolicyEntry]]] = {}
"""The policies of each kind, by the key `tee`; each class enters itself."""


class Policy(BaseModel):
    """Which enclaves or trust domains are accepted, once their evidence has been verified.

    A policy is of one kind (`SgxPolicy`, `TdxPolicy`) or of several entries of either kind, any of
    which may accept (`Policy.any_of`, in a file several ``[[enclave]]`` tables): during a rollover,
    the old enclave and the new one. The key `tee` of a file tells the kind; SGX where it is absent.
    ``Policy(...)`` with the keys of the file format as arguments makes the policy of that kind.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(
        defer_build=True,
        frozen=True,
        extra="forbid",
        ser_json_bytes="hex",
        hide_input_in_errors=True,
    )

    def __new__(cls, **content: Any) -> Policy:  # noqa: PYI034 - that of the kind is made
        """Make a policy of the kind that the arguments name."""
        if cls is Policy:
            cls = _kind(content.get("tee", _DEFAULT_KIND)) or _KINDS[_DEFAULT_KIND]  # noqa: PLW0642
        return super().__new__(cls)

    @property
    @abstractmethod
    def entries(self) -> tuple[PolicyEntry, ...]:
        """The entries, any of which may accept; one where the policy is of one kind."""

    @abstractmethod
    def to_toml(self) -> str:
        """Write the policy as the text of a policy file; `from_str` reads it back."""

    @staticmethod
    def from_file(path: str | os.PathLike[str]) -> Policy:
        """Read a policy file.

        Raises:
            FileNotFoundError: there is no such file.
            PolicyFormatError: it is not a policy; ``key`` names what is wrong.
        """
        with Path(path).open("rb") as file:
            content = file.read(MAX_POLICY_BYTES + 1)
        if len(content) > MAX_POLICY_BYTES:
            raise PolicyFormatError(f"The policy has more than {MAX_POLICY_BYTES} bytes")
        try:
            text = content.decode("utf-8")
        except UnicodeDecodeError as error:
            raise PolicyFormatError("The policy is not UTF-8 text") from error
        return Policy.from_str(text)

    @staticmethod
    def from_str(text: str) -> Policy:
        """Read a policy from the text of its TOML file.

        Raises:
            PolicyFormatError: it is not a policy; ``key`` names what is wrong.
        """
        if len(text) > MAX_POLICY_BYTES:
            raise PolicyFormatError(f"The policy has more than {MAX_POLICY_BYTES} characters")
        try:
            import tomllib  # noqa: PLC0415 - few processes read a policy file

            content = tomllib.loads(text)
        except (ValueError, RecursionError) as error:
            raise PolicyFormatError("The policy is not a TOML file") from error
        return Policy.from_dict(content)

    @staticmethod
    def from_dict(content: Mapping[str, Any]) -> Policy:
        """Read a policy from the keys and values of its file.

        Raises:
            PolicyFormatError: a key is missing, unknown, or has a value that it may not have.
        """
        if _TABLES not in content:
            return _entry(content, "The policy")
        tables = content[_TABLES]
        others = [key for key in content if key != _TABLES]
        if others:
            raise PolicyFormatError(
                f"The policy's key {others[0][:64]!a} stands beside its [[enclave]] tables; every "
                "demand belongs into a table",
                key=others[0],
            )
        if not isinstance(tables, list) or not 0 < len(tables) <= MAX_ENTRIES:
            raise PolicyFormatError(
                f"The policy's key 'enclave' must be 1 to {MAX_ENTRIES} [[enclave]] tables",
                key=_TABLES,
            )
        return AnyOfPolicy(
            enclave=tuple(
                _entry(table, f"The policy's [[enclave]] table {number}")
                for number, table in enumerate(tables)
            )
        )

    @staticmethod
    def any_of(*policies: Policy) -> Policy:
        """Make the policy that accepts what any of these accepts, tried in their order.

        `Claims.matched` then tells which one accepted. The policies may be of different kinds.

        Raises:
            ValueError: there is none, or more than `MAX_ENTRIES`.
        """
        return AnyOfPolicy(enclave=tuple(one for policy in policies for one in policy.entries))

    @staticmethod
    def for_claims(claims: Claims) -> PolicyEntry:
        """Write the policy that accepts exactly this enclave or TD: its code and configuration.

        That is trust on first use: nobody but you can say that this enclave is the right one. The
        accepted TCB statuses stay the default ones, whatever the platform's own status is.

        Args:
            claims: claims that were verified.

        Raises:
            ValueError: they were not.
        """
        if not claims.verified:
            raise ValueError("A policy is made of verified claims only")
        return _KINDS[claims.tee].of_claims(claims)


class PolicyEntry(Policy):
    """What a policy of either kind may demand.

    Attributes:
        tee: the kind that is accepted.
        name: for reports, and for `Claims.matched`.
        allow_debug: accept an enclave whose host can read its memory. Never for real data.
        accepted_tcb_statuses: the platform's patch levels that are accepted. Never `REVOKED`.
        tcb_grace_days: also accept `OUT_OF_DATE` where its `Claims.tcb_date` is at most so many
            days old.
        allowed_advisories: where set, the only security advisories that may apply.
        denied_advisories: advisories that may not apply.
        min_tcb_evaluation_data_number: where set, the least number of Intel's evaluation that the
            collateral may come from: its host chooses which collateral it shows.
        allowed_ppids: where set, the only machines that are accepted, by their PPIDs.
        require_fresh: refuse a quote that was not made for the nonce that was sent.
    """

    tee: Tee
    name: EntryName | None = None
    allow_debug: StrictBool = False
    accepted_tcb_statuses: TcbStatuses = DEFAULT_TCB_STATUSES
    tcb_grace_days: Days = 0
    allowed_advisories: Advisories | None = None
    denied_advisories: Advisories = frozenset()
    min_tcb_evaluation_data_number: U32 | None = None
    allowed_ppids: Ppids | None = Field(default=None, repr=False)
    require_fresh: StrictBool = False

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        _KINDS[cls.model_fields["tee"].default] = cls

    @property
    def entries(self) -> tuple[PolicyEntry, ...]:
        """The policy itself: it is one entry."""
        return (self,)

    def to_toml(self) -> str:
        """Write the policy as the text of a policy file; `from_str` reads it back."""
        head = [] if self.name is None else [f'name = "{self.name}"']
        return "\n".join((*head, *self._own_lines(), *self._common_lines())) + "\n"

    @abstractmethod
    def _own_lines(self) -> list[str]:
        """Write the keys of this kind."""

    @classmethod
    @abstractmethod
    def of_claims(cls, claims: Any) -> PolicyEntry:
        """Make the policy that accepts these claims of this kind."""

    def _common_lines(self) -> list[str]:
        lines = []
        if self.accepted_tcb_statuses != DEFAULT_TCB_STATUSES:
            lines.append(f"accepted_tcb_statuses = {toml_list(self.accepted_tcb_statuses)}")
        if self.tcb_grace_days:
            lines.append(f"tcb_grace_days = {self.tcb_grace_days}")
        if self.allowed_advisories is not None:
            lines.append(f"allowed_advisories = {toml_list(self.allowed_advisories)}")
        if self.denied_advisories:
            lines.append(f"denied_advisories = {toml_list(self.denied_advisories)}")
        if self.min_tcb_evaluation_data_number is not None:
            number = self.min_tcb_evaluation_data_number
            lines.append(f"min_tcb_evaluation_data_number = {number}")
        if self.allowed_ppids is not None:
            lines.append(f"allowed_ppids = {toml_list(one.hex() for one in self.allowed_ppids)}")
        if self.require_fresh:
            lines.append("require_fresh = true")
        return lines


class AnyOfPolicy(Policy):
    """A policy of several entries, any of which may accept: see `Policy.any_of`.

    Attributes:
        enclave: the entries, in the order in which they are tried; in a file, its tables.
    """

    enclave: tuple[SerializeAsAny[PolicyEntry], ...] = Field(
        min_length=1, max_length=MAX_ENTRIES, strict=True
    )

    @property
    def entries(self) -> tuple[PolicyEntry, ...]:
        """The entries, in the order in which they are tried."""
        return self.enclave

    def to_toml(self) -> str:
        """Write the policy as the text of a policy file: one ``[[enclave]]`` table an entry."""
        return "\n".join(f"[[{_TABLES}]]\n{entry.to_toml()}" for entry in self.entries)


def _kind(tee: object) -> type[PolicyEntry] | None:
    return _KINDS.get(tee) if isinstance(tee, str) else None


def _entry(content: object, where: str) -> PolicyEntry:
    if not isinstance(content, Mapping):
        raise PolicyFormatError(f"{where} is not a table", key=_TABLES)
    tee = content.get("tee", _DEFAULT_KIND)
    kind = _kind(tee)
    if kind is None:
        raise PolicyFormatError(f'{where}\'s key \'tee\': must be "sgx" or "tdx"', key="tee")
    try:
        return kind.model_validate(dict(content))
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=False, include_input=False)
        # A misspelt key is both an unknown and a missing one: name what stands in the file.
        first = min(problems, key=lambda problem: problem["type"] != "extra_forbidden")
        key = str(first["loc"][0]) if first["loc"] else ""
        problem = first["msg"].removeprefix("Value error, ")
        named = f"{where}'s key {key[:64]!a}" if first["loc"] else where
        raise PolicyFormatError(f"{named}: {problem}", key=key) from error
