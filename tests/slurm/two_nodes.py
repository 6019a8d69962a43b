"""A Slurm of two nodes on this machine, of Debian's own slurmctld, slurmd and munge, all in one temporary folder.

Nothing of the machine's own Slurm is read or changed: configuration, keys, sockets, spools and ports are private, and
two of these may run side by side. A node is a slurmd with a name of its own; for its GPU stands a device that is none.
"""

import ctypes
import getpass
import os
import platform
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

DAEMONS = ("munged", "slurmctld", "slurmd")
NODES = ("n1", "n2")
CPUS, MEMORY_MB, GPUS = 2, 16000, 1  # of a node, claimed: nothing enforces them
CARD = "/dev/null"  # Slurm numbers devices, and sets CUDA_VISIBLE_DEVICES by that
STEP = "srun"  # the one client that is called where SLURM_CONF was taken from the environment
PATIENCE = 60  # seconds for what takes one or two
PR_SET_PDEATHSIG = 1

CONFIGURATION = """\
ClusterName=xdseg
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/%n/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/%n/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SlurmdParameters=config_overrides
GresTypes=gpu
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
ReturnToService=2
SlurmctldTimeout=10
SlurmdTimeout=10
KillWait=5
MinJobAge=3600
SchedulerParameters=batch_sched_delay=0,sched_interval=2
"""
NODE = (
    "NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port}"
    " CPUs={cpus} RealMemory={memory} Gres=gpu:{gpus}\n"
)
PARTITION = "PartitionName=main Nodes={nodes} Default=YES MaxTime=INFINITE State=UP\n"


def missing() -> str | None:
    """Why no Slurm can be started here, or None."""
    if os.geteuid() != 0:
        return "needs root, as slurmd starts jobs for others"
    absent = [name for name in DAEMONS if shutil.which(name) is None]
    return f"needs {', '.join(absent)}: apt-get install slurmctld slurmd slurm-client munge" if absent else None


class Slurm:
    """Daemons in `folder`; `environment` makes the clients (sbatch, squeue, ...) speak to them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.daemons: dict[str, subprocess.Popen] = {}
        clients = folder / "bin"
        self.environment = os.environ | {
            "SLURM_CONF": str(folder / "slurm.conf"),
            "PATH": f"{clients}{os.pathsep}{os.environ['PATH']}",
        }
        self._write(clients)

    def _write(self, clients: Path) -> None:
        for name in ("state", "bin", *NODES):
            (self.folder / name).mkdir()
        host, ports = platform.node(), free_ports(1 + len(NODES))
        text = CONFIGURATION.format(host=host, port=ports[0], user=getpass.getuser(), folder=self.folder)
        cards = ""
        for name, port in zip(NODES, ports[1:], strict=True):
            text += NODE.format(name=name, host=host, port=port, cpus=CPUS, memory=MEMORY_MB, gpus=GPUS)
            cards += f"NodeName={name} Name=gpu File={CARD}\n"
        (self.folder / "slurm.conf").write_text(text + PARTITION.format(nodes=",".join(NODES)))
        (self.folder / "gres.conf").write_text(cards)
        key = self.folder / "munge.key"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o400)
        step = clients / STEP
        step.write_text(f'#!/bin/sh\nSLURM_CONF={self.folder}/slurm.conf exec {shutil.which(STEP)} "$@"\n')
        step.chmod(0o755)

    def start(self) -> None:
        """Start everything and wait until both nodes are idle."""
        munge = [f"--key-file={self.folder}/munge.key", f"--socket={self.folder}/munge.socket"]
        munge += [f"--{name}-file={self.folder}/munge.{name}" for name in ("pid", "log", "seed")]
        self._daemon("munged", "munged", "--foreground", "--force", *munge)
        wait_until((self.folder / "munge.socket").exists, "munged makes no socket", self.log)
        self.start_controller()
        for name in NODES:
            self.start_node(name)
        wait_until(lambda: set(self.states().values()) == {"idle"}, "the nodes do not become idle", self.log)

    def start_controller(self) -> None:
        """Start slurmctld, with the state that it left if there is one."""
        self._daemon("slurmctld", "slurmctld", "-D")

    def stop_controller(self) -> None:
        """Kill slurmctld at once, with all that it knows of the jobs by now in its state.

        It saves within seconds of a change. A job that it started and had not saved would be started twice by the
        next one, refused by the node as a duplicate, and held: Slurm's own gap, which no workflow can close.
        """
        before = time.time_ns()
        state = self.folder / "state/job_state"
        wait_until(lambda: state.stat().st_mtime_ns > before, "slurmctld does not save", self.log)
        self._kill("slurmctld")

    def start_node(self, name: str) -> None:
        """Start the slurmd of a node."""
        self._daemon(name, "slurmd", "-D", "-N", name)

    def lose_node(self, name: str) -> None:
        """What a power cut does: slurmd, its step daemons and all processes of its jobs are gone at once."""
        self._kill(name)
        for process in self._processes():
            if belongs(process, f"SLURMD_NODENAME={name}\0") or holds(process, self.folder / name):
                end(process)

    def states(self) -> dict[str, str]:
        """State of each node, such as idle, mixed, down*; empty while the controller does not answer."""
        done = self.run("sinfo", "--noheader", "--Node", "--format=%N %T")
        return dict(line.split() for line in done.stdout.splitlines())

    def jobs(self) -> dict[str, dict[str, str]]:
        """Every job that the controller remembers: state, node, times of restart, comment, GPUs."""
        done = self.run("scontrol", "--oneliner", "show", "job")
        jobs = [dict(word.partition("=")[::2] for word in line.split()) for line in done.stdout.splitlines()]
        return {job["JobId"]: job for job in jobs if "JobId" in job}

    def run(self, *command: str) -> subprocess.CompletedProcess:
        """Run a client to its end."""
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=PATIENCE)

    def stop(self) -> None:
        """End every daemon and whatever they started; safe to call twice."""
        for name in [*NODES, "slurmctld", "munged"]:
            self._kill(name)
        for _ in range(3):  # a process may start another while it is looked for
            for process in self._processes():
                end(process)

    def log(self) -> str:
        """The daemons' words, for a failure's message."""
        return "\n".join(f"{path}:\n{path.read_text(errors='replace')[-4000:]}" for path in self.folder.rglob("*.log"))

    def _daemon(self, name: str, *command: str) -> None:
        with (self.folder / f"{name}.out.log").open("a") as out:
            self.daemons[name] = subprocess.Popen(
                command,
                env=self.environment,
                stdout=out,
                stderr=out,
                start_new_session=True,
                preexec_fn=die_with_parent,
            )

    def _kill(self, name: str) -> None:
        daemon = self.daemons.pop(name, None)
        if daemon:
            daemon.kill()
            daemon.wait()

    def _processes(self) -> list[int]:
        """Processes that this Slurm started: its folder is in their environment or among their open files."""
        every = (int(path.name) for path in Path("/proc").glob("[0-9]*"))
        return [p for p in every if p != os.getpid() and (belongs(p, f"{self.folder}") or holds(p, self.folder))]


@contextmanager
def two_nodes() -> Iterator[Slurm]:
    """A started Slurm, stopped and removed at the end, whatever happens in between."""
    folder = Path(tempfile.mkdtemp(prefix="xdseg-slurm-"))
    slurm = Slurm(folder)
    try:
        slurm.start()
        yield slurm
    finally:
        slurm.stop()
        shutil.rmtree(folder, ignore_errors=True)


def die_with_parent() -> None:
    """In a new process, before its program: no daemon outlives a killed test run."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def free_ports(count: int) -> list[int]:
    """Ports of the loopback that nobody uses now."""
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def belongs(process: int, text: str) -> bool:
    """Does the environment of a process hold this text?"""
    try:
        return text.encode() in Path(f"/proc/{process}/environ").read_bytes()
    except OSError:
        return False


def holds(process: int, folder: Path) -> bool:
    """Has a process a file below `folder` open, or does it stand there?"""
    try:
        links = [Path(f"/proc/{process}/cwd"), *Path(f"/proc/{process}/fd").iterdir()]
        return any(os.readlink(link).startswith(f"{folder}/") for link in links)
    except OSError:
        return False


def node_of(process: int) -> str | None:
    """Name of the node that a job's process runs on."""
    return next((name for name in NODES if belongs(process, f"SLURMD_NODENAME={name}\0")), None)


def end(process: int) -> None:
    """Kill a process, if it is still there."""
    with suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)


def wait_until(true: Callable[[], bool], otherwise: str, log: Callable[[], str], seconds: float = PATIENCE) -> None:
    """Look again until it is true. Raises AssertionError with the log."""
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, f"{otherwise}\n{log()}"
        time.sleep(0.1)
