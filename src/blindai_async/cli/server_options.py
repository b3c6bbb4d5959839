"""The options of every command that talks to a server, stated once."""

import contextlib
import dataclasses
import functools
import inspect
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from pathlib import Path
from typing import Annotated, Any, Self

import typer
from grpc.aio import ClientInterceptor

from blindai_async import AsyncConnection, Timeouts, connect
from blindai_async.attestation import INTEL_SGX_ROOT, TrustRoot
from blindai_async.cli.profile import ProfileOption
from blindai_async.cli.run_command import OperationError
from blindai_async.collateral import CollateralSource
from blindai_async.errors import BlindAIError

__all__ = ["Server", "with_server"]


def _option(*names: str, help: str, **more: Any) -> Any:  # noqa: A002 # typer's own word
    return typer.Option(*names, help=help, rich_help_panel="Server", **more)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Server:
    """Which server to talk to, and what it has to prove."""

    host: Annotated[str, _option("--host", help="Its name or address.", envvar="BLINDAI_HOST")] = (
        "localhost"
    )
    cloud: Annotated[
        bool, _option("--cloud", help="Ask the cloud service for the server; needs an API key.")
    ] = False
    attested_port: Annotated[
        int, _option("--attested-port", help="Of its enclave.", envvar="BLINDAI_ATTESTED_PORT")
    ] = 50051
    untrusted_port: Annotated[
        int, _option("--untrusted-port", help="Of its host.", envvar="BLINDAI_UNTRUSTED_PORT")
    ] = 50052
    server_name: Annotated[
        str,
        _option(
            "--server-name", help="The name in its certificates.", envvar="BLINDAI_SERVER_NAME"
        ),
    ] = "blindai-srv"
    policy: Annotated[
        Path | None,
        _option(
            "--policy",
            help="What its enclave has to be, TOML; else the built-in policy.",
            envvar="BLINDAI_POLICY",
        ),
    ] = None
    certificate: Annotated[
        Path | None,
        _option("--certificate", help="Its host's certificate, PEM.", envvar="BLINDAI_CERTIFICATE"),
    ] = None
    root: Annotated[
        Path | None,
        _option(
            "--root",
            help="Trust this root instead of Intel's, PEM: for emulated platforms.",
            envvar="BLINDAI_ROOT",
        ),
    ] = None
    simulation: Annotated[
        bool, _option("--simulation", help="Ask for no proof: nothing is protected then.")
    ] = False
    api_key: Annotated[
        str | None,
        _option("--api-key", help="For the cloud.", envvar="BLINDAI_API_KEY", show_default=False),
    ] = dataclasses.field(default=None, repr=False)
    collateral: Annotated[
        str,
        _option(
            "--collateral",
            help='Where what Intel has signed comes from: "server", "pcs" (Intel\'s service), the '
            "URL of a PCCS, or a folder.",
        ),
    ] = "server"
    require_fresh: Annotated[
        bool, _option("--require-fresh", help="Refuse a quote that was not made just now.")
    ] = False
    timeout: Annotated[
        float | None, _option("--timeout", help="Seconds for each call.", min=0.001)
    ] = None

    @property
    def trust_root(self) -> TrustRoot:
        """Intel's root, or the one that `--root` names."""
        return TrustRoot.from_pem(self.root.read_bytes()) if self.root else INTEL_SGX_ROOT

    def at(self, host: str) -> Self:
        """The same demands on the server at another address."""
        return dataclasses.replace(self, host=host)

    @contextlib.asynccontextmanager
    async def connect(
        self,
        interceptors: Sequence[ClientInterceptor] = (),
        collateral: CollateralSource | None = None,
    ) -> AsyncIterator[AsyncConnection]:
        """A connection to this server, open as long as the body runs.

        Args:
            interceptors: of the connection.
            collateral: where it comes from, in the place of what the options say.
        """
        connection = self._connection(interceptors, collateral)
        try:
            await connection
        except BlindAIError:
            raise
        except ValueError as error:  # a file that an option names is not what it should be
            raise OperationError(str(error)) from error
        async with connection:
            yield connection

    def _connection(
        self, interceptors: Sequence[ClientInterceptor], collateral: CollateralSource | None
    ) -> AsyncConnection:
        if self.cloud and not self.api_key:
            raise typer.BadParameter("the cloud needs an API key: set BLINDAI_API_KEY")
        timeouts = Timeouts()
        if self.timeout is not None:
            timeouts = Timeouts(connect=self.timeout, call=self.timeout, upload=self.timeout)
        try:
            trust_root = self.trust_root
            return connect(
                None if self.cloud else self.host,
                server_name=self.server_name,
                policy=None if self.simulation else self.policy,
                certificate=self.certificate,
                simulation=self.simulation,
                untrusted_port=self.untrusted_port,
                attested_port=self.attested_port,
                api_key=self.api_key,
                timeouts=timeouts,
                trust_root=trust_root,
                interceptors=interceptors,
                collateral=collateral or self.collateral,
                require_fresh=self.require_fresh,
            )
        except ValueError as error:
            raise typer.BadParameter(str(error)) from error
        except ModuleNotFoundError as error:  # an extra, for another source of collateral
            raise OperationError(str(error)) from error


def with_server(
    *, without: Collection[str] = ()
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command, whose first parameter is a `Server`, the options of one.

    Args:
        without: fields of `Server` that are no options of this command. Those that are parameters
            of the command itself are none either.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        _, *own = inspect.signature(command).parameters.values()
        names = {*without, *(parameter.name for parameter in own)}
        fields = [field for field in dataclasses.fields(Server) if field.name not in names]

        @functools.wraps(command)
        def run(*, profile: Path | None, **options: Any) -> None:
            del profile  # read when typer met it: its values are the options' defaults
            server = Server(**{field.name: options.pop(field.name) for field in fields})
            if server.simulation:
                _refuse_demands(options["context"])
            command(server, **options)

        keyword = inspect.Parameter.KEYWORD_ONLY
        parameters = [parameter.replace(kind=keyword) for parameter in own] + [
            inspect.Parameter(field.name, keyword, default=field.default, annotation=field.type)
            for field in fields
        ]
        parameters.append(
            inspect.Parameter("profile", keyword, default=None, annotation=ProfileOption)
        )
        # What typer reads: names, defaults, and annotations that carry the options.
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined] # PEP 362
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        del run.__wrapped__
        return run

    return decorate


def _refuse_demands(context: typer.Context) -> None:
    """Refuse demands beside --simulation, which would judge nothing, where they were typed.

    Those of the environment and of a profile are for other calls: the option counts before them.
    """
    for name in ("policy", "root"):
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            raise typer.BadParameter(f"--simulation leaves --{name} nothing to judge")
