# SPDX-License-Identifier: ISC
"""What the benchmarks share: private instances of kingpost, Postfix and OpenSMTPD, and the measuring of their processes alone."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TICK = os.sysconf("SC_CLK_TCK")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for_port(port, seconds=20):
    until = time.time() + seconds
    while time.time() < until:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise SystemExit(f"nothing listens on port {port}")


class Peers:
    """Postfix's and OpenSMTPD's programs, unpacked below a private root."""

    def __init__(self):
        out = subprocess.run([f"{TOP}/scripts/peers"], check=True, stdout=subprocess.PIPE, text=True)
        self.root = out.stdout.strip()
        self.env = dict(os.environ, LD_LIBRARY_PATH=f"{self.root}/usr/lib/postfix")

    def command(self, name, *args):
        return [f"{self.root}/usr/sbin/{name}", *map(str, args)]

    def sink(self, port, *args, **kw):
        user = ["-u", "nobody"] if os.geteuid() == 0 else []
        return self.start("smtp-sink", *user, *args, f"127.0.0.1:{port}", 1024, **kw)

    def start(self, name, *args, **kw):
        return subprocess.Popen(self.command(name, *args), env=self.env, **kw)

    def run(self, name, *args, **kw):
        return subprocess.run(self.command(name, *args), env=self.env, **kw)


def stat_of(pid):
    with open(f"/proc/{pid}/stat") as f:
        text = f.read()
    fields = text[text.rindex(")") + 2:].split()
    return int(fields[1]), [int(x) for x in fields[11:15]]  # parent, utime stime cutime cstime


def tree_of(root):
    children = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                children.setdefault(stat_of(name)[0], []).append(int(name))
            except (OSError, ValueError):
                pass
    found, todo = [], [root]
    while todo:
        pid = todo.pop()
        found.append(pid)
        todo += children.get(pid, [])
    return found


def cpu_of(root):
    """Seconds of CPU that a master and all it ever started have used."""
    ticks = 0
    for pid in tree_of(root):
        try:
            own = stat_of(pid)[1]
        except OSError:
            continue
        ticks += own[0] + own[1]
        if pid == root:
            ticks += own[2] + own[3]
    return ticks / TICK


def memory_of(root):
    """Proportional set size of all its processes, in bytes."""
    total = 0
    for pid in tree_of(root):
        try:
            with open(f"/proc/{pid}/smaps_rollup") as f:
                for line in f:
                    if line.startswith("Pss:"):
                        total += int(line.split()[1]) * 1024
        except OSError:
            pass
    return total


class PeakMemory(threading.Thread):
    def __init__(self, root):
        super().__init__(daemon=True)
        self.root, self.peak, self.done = root, 0, threading.Event()

    def run(self):
        while not self.done.wait(0.5):
            self.peak = max(self.peak, memory_of(self.root))

    def stop(self):
        self.done.set()
        self.join()
        return self.peak


class Kingpost:
    name = "kingpost"

    def __init__(self, base, next_port, settings=(), build=None, services=()):
        self.root = f"{base}/kingpost"
        self.port = free_port()
        self.args = ["--root", self.root] + (["--build", build, "--no-build"] if build else [])
        args = ["--port", str(self.port), "--submission-port", str(free_port())]
        if next_port:
            args += ["--set", f"relayhost = [127.0.0.1]:{next_port}"]
        for s in settings:
            args += ["--set", s]
        for name, s in services:
            args += ["--service", name, s]
        subprocess.run([f"{TOP}/scripts/run", *self.args, *args, "--detach"], check=True, stdout=subprocess.DEVNULL)
        with open(f"{self.root}/run/master.pid") as f:
            self.pid = int(f.read())

    def stop(self):
        subprocess.run([f"{TOP}/scripts/run", *self.args, "--stop"], check=False)


MAIN_CF = """
compatibility_level = 3.6
queue_directory = {base}/spool
data_directory = {base}/data
command_directory = {root}/usr/sbin
daemon_directory = {root}/usr/lib/postfix/sbin
shlib_directory = {root}/usr/lib/postfix
meta_directory = {root}/etc/postfix
mail_owner = postfix
setgid_group = postdrop
myhostname = host.example
mydestination = localhost
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
relayhost = {relayhost}
alias_maps =
alias_database =
maillog_file = {base}/log/maillog
maillog_file_prefixes = {base}
import_environment = MAIL_CONFIG={base}/conf LD_LIBRARY_PATH={root}/usr/lib/postfix TZ LANG=C
export_environment = MAIL_CONFIG={base}/conf LD_LIBRARY_PATH={root}/usr/lib/postfix TZ LANG=C
smtpd_client_connection_count_limit = 0
"""

MASTER_CF = """
127.0.0.1:{port} inet n - n - {processes} smtpd
postlog unix-dgram n - n - 1 postlogd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
local unix - n n - - local
virtual unix - n n - - virtual
lmtp unix - - n - - lmtp
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
"""


class Postfix:
    """Debian's package with its default durability, on the same work."""

    name = "Postfix"

    def __init__(self, base, next_port, peers, processes="-", main="", master=""):
        self.peers, self.base = peers, f"{base}/postfix"
        self.port = free_port()
        for user, group in (("postfix", "postdrop"),):
            subprocess.run(f"getent group {group} >/dev/null || groupadd --system {group};"
                           f"getent passwd {user} >/dev/null || useradd --system --no-create-home --home-dir / {user}",
                           shell=True, check=True)
        for d in ("spool", "data", "conf", "log"):
            os.makedirs(f"{self.base}/{d}")
        shutil.chown(f"{self.base}/data", "postfix")
        relayhost = f"[127.0.0.1]:{next_port}" if next_port else ""
        with open(f"{self.base}/conf/main.cf", "w") as f:
            f.write(MAIN_CF.format(base=self.base, root=peers.root, relayhost=relayhost) + main)
        with open(f"{self.base}/conf/master.cf", "w") as f:
            f.write(MASTER_CF.format(port=self.port, processes=processes) + master)
        for d in ("active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "private", "saved", "trace"):
            os.makedirs(f"{self.base}/spool/{d}", mode=0o700)
            shutil.chown(f"{self.base}/spool/{d}", "postfix")
        os.makedirs(f"{self.base}/spool/pid")
        for d, mode in (("maildrop", 0o730), ("public", 0o710)):
            os.makedirs(f"{self.base}/spool/{d}")
            shutil.chown(f"{self.base}/spool/{d}", "postfix", "postdrop")
            os.chmod(f"{self.base}/spool/{d}", mode)
        self.process = subprocess.Popen([f"{peers.root}/usr/lib/postfix/sbin/master", "-c", f"{self.base}/conf", "-d"],
                                        env=peers.env, start_new_session=True)
        self.pid = self.process.pid
        wait_for_port(self.port)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)


SMTPD_CONF = """
smtp limit max-mails 1000000
pki bench cert "{cert}"
pki bench key "{key}"
listen on 127.0.0.1 port {port} tls pki bench hostname host.example
listen on 127.0.0.1 port {tls_port} smtps pki bench hostname host.example
action "next" relay host smtp://127.0.0.1:{next_port}
match from any for any action "next"
"""

# Its spool, socket and empty root have fixed names: a private view of the file system puts folders of ours there.
IN_PRIVATE = """mount --bind {base}/spool /var/spool && mount --bind {base}/run /run && mount --bind {base}/lib /var/lib &&
exec {root}/usr/sbin/smtpd -F -f {base}/smtpd.conf"""


class OpenSmtpd:
    """Debian's package, with its queue paused where nothing is to be delivered."""

    name = "OpenSMTPD"

    def __init__(self, base, next_port, peers, cert, key):
        self.base, self.port, self.tls_port = f"{base}/opensmtpd", free_port(), free_port()
        for user in ("opensmtpd", "opensmtpq"):
            subprocess.run(f"getent passwd {user} >/dev/null || useradd --system --no-create-home --home-dir / {user}",
                           shell=True, check=True)
        for d in ("spool", "run", "lib/opensmtpd/empty"):
            os.makedirs(f"{self.base}/{d}")
        with open(f"{self.base}/smtpd.conf", "w") as f:
            f.write(SMTPD_CONF.format(cert=cert, key=key, port=self.port, tls_port=self.tls_port, next_port=next_port or 1))
        self.log = open(f"{self.base}/log", "w")
        self.process = subprocess.Popen(["unshare", "-m", "sh", "-c", IN_PRIVATE.format(base=self.base, root=peers.root)],
                                        stdout=self.log, stderr=self.log, start_new_session=True)
        self.pid = self.process.pid
        wait_for_port(self.port)
        if not next_port:
            self.pause(peers)

    def pause(self, peers):
        smtpctl = f"{self.base}/smtpctl"
        shutil.copy(f"{peers.root}/usr/sbin/smtpctl", smtpctl)
        shutil.chown(smtpctl, group="opensmtpq")
        os.chmod(smtpctl, 0o2755)
        for _ in range(20):
            done = subprocess.run(["nsenter", "-t", str(self.pid), "-m", smtpctl, "pause", "mta"],
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            if done.returncode == 0:
                return
            time.sleep(0.1)
        self.stop()
        raise SystemExit(f"smtpctl: {done.stdout}")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)
        self.log.close()


class Workplace:
    """A folder that all users of both suites can search, gone afterwards."""

    def __enter__(self):
        self.path = tempfile.mkdtemp(prefix="kingpost-bench-", dir="/var/tmp")
        os.chmod(self.path, 0o755)
        return self.path

    def __exit__(self, *_):
        shutil.rmtree(self.path, ignore_errors=True)


def machine():
    with open("/proc/cpuinfo") as f:
        model = next((line.split(":")[1].strip() for line in f if line.startswith("model name")), "?")
    return f"{os.cpu_count()} cores, {model}, kernel {os.uname().release}"
